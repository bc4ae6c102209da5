package tracedb

import (
	"sync"

	"github.com/jaeger-tempo/tempo/tempodb/page"
	"github.com/jaeger-tempo/tempo/trace/columnar"
)

var _ page.Packer = Codec{}

// The memory of packing and unpacking is some hundred KiB, and passed on.
var (
	encoders = sync.Pool{New: func() any { return new(encoder) }}
	pages    = sync.Pool{New: func() any { return new(unpacked) }}
)

type encoder struct {
	columnar.Encoder
	ids [][16]byte
}

type unpacked struct {
	columnar.Page
	value []byte
}

// Pack implements page.Packer: traces are encoded as columns; see package columnar.
func (Codec) Pack(dst []byte, keys, values [][]byte) ([]byte, error) {
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	e.ids = e.ids[:0]
	for _, key := range keys {
		e.ids = append(e.ids, [16]byte(key))
	}
	return e.Append(dst, e.ids, values)
}

// Find implements page.Packer.
func (Codec) Find(dst, packed, key []byte) (value []byte, found bool, err error) {
	p := pages.Get().(*unpacked)
	defer p.giveBack()
	if err := p.Parse(packed, nil); err != nil {
		return dst, false, err
	}
	i, found := p.Page.Find([16]byte(key))
	if !found {
		return dst, false, nil
	}
	value, err = p.Value(dst, i)
	return value, err == nil, err
}

// Each implements page.Packer.
func (Codec) Each(packed []byte, fn func(key, value []byte) (more bool, err error)) error {
	p := pages.Get().(*unpacked)
	defer p.giveBack()
	if err := p.Parse(packed, nil); err != nil {
		return err
	}
	for i := range p.Len() {
		var err error
		if p.value, err = p.Value(p.value[:0], i); err != nil {
			return err
		}
		key := p.Key(i)
		if more, err := fn(key[:], p.value); !more || err != nil {
			return err
		}
	}
	return nil
}

// Keys implements page.Packer.
func (Codec) Keys(packed []byte, fn func(key []byte)) (values int64, err error) {
	keys, content, err := columnar.Keys(packed)
	for ; len(keys) > 0; keys = keys[16:] {
		fn(keys[:16:16])
	}
	return int64(content), err
}

// maxKept is the value up to which memory is passed on.
const maxKept = 1 << 20

func (p *unpacked) giveBack() {
	if cap(p.value) <= maxKept {
		pages.Put(p)
	}
}
