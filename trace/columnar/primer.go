package columnar

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// Primer is what a reader knows at the end of a page. Pages that begin with it need not repeat what they
// have in common with that page: their size does not suffer from their being small. A Primer may be used
// by any number of Encoders and Pages at once; it takes some hundred KiB.
type Primer struct {
	model model
	id    uint32

	// What the parser of an Encoder looks things up in.
	columnIDs ids
	shellIDs  map[string]int32
}

// NewPrimer returns a Primer of a page that was made without one. It reads the whole page.
func NewPrimer(encoded []byte) (*Primer, error) {
	var page Page
	if err := page.Parse(encoded, nil); err != nil {
		return nil, err
	}
	for page.next < page.count {
		if err := page.step(); err != nil {
			return nil, err
		}
	}
	p := &Primer{
		model: page.model, id: primerID(encoded),
		shellIDs: map[string]int32{},
	}
	m := &p.model
	m.coder, m.blob, m.values = coder{}, nil, nil
	for id, c := range m.columns[kinds:] {
		a, b := c.words()
		p.columnIDs.set(a, b, int32(id)+int32(kinds))
	}
	for id, s := range m.shells {
		p.shellIDs[string(appendShellKey(nil, s.kind, s.head, s.tail))] = int32(id)
	}
	for id, g := range m.groups[1:] {
		m.groupIDs.set(uint64(g.resource), uint64(g.scope), int32(id)+1)
	}
	for id := range m.columnModels {
		for i, v := range m.columnModels[id].values {
			m.valueIDs.set(v, uint64(id), int32(i))
		}
	}
	m.texts.index()
	return p, nil
}

// primerID tells primers apart, so that a page is not read with another one than it was made with.
func primerID(encoded []byte) uint32 { return uint32(xxhash.Sum64(encoded)) }

func appendPrimerID(dst []byte, p *Primer) []byte {
	if p == nil {
		return append(dst, version)
	}
	return binary.LittleEndian.AppendUint32(append(dst, primedVersion), p.id)
}

// cutPrimerID reads what appendPrimerID wrote.
func cutPrimerID(encoded []byte, p *Primer) ([]byte, error) {
	switch {
	case len(encoded) > 0 && encoded[0] == version:
		return encoded[1:], nil
	case len(encoded) < 5 || encoded[0] != primedVersion:
		return nil, fmt.Errorf("%w: unknown version", ErrCorrupt)
	case p == nil || binary.LittleEndian.Uint32(encoded[1:]) != p.id:
		return nil, fmt.Errorf("%w: made with another primer", ErrCorrupt)
	}
	return encoded[5:], nil
}
