package inspect

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// Field is a field of the search object, with what its terms take.
type Field struct {
	Name []byte
	// Terms is the number of different values, Records that of the lists of rows they have.
	Terms, Records int64
	// Bytes is about what they take in the object: a page's stored length, divided in proportion.
	Bytes int64
}

// Fields returns the fields of a block's search object, the largest first. Terms on damaged pages are not counted.
func Fields(ctx context.Context, bucket backend.Bucket, meta *block.Meta) ([]Field, error) {
	fields := make(map[string]*Field)
	taking := make(map[*Field]float64)
	var last []byte // the key before, without its stripe
	_, _, err := Pages(ctx, bucket, meta, "search", func(p Page, content []byte) error {
		if p.Kind != KindRecords || len(content) == 0 {
			return nil
		}
		share := float64(p.Stored) / float64(len(content))
		eachRecord(content, func(key []byte, taken int) {
			name, stem, ok := splitTerm(key)
			if !ok {
				return
			}
			f := fields[string(name)]
			if f == nil {
				f = &Field{Name: slices.Clone(name)}
				fields[string(name)] = f
			}
			f.Records++
			taking[f] += share * float64(taken)
			if !slices.Equal(stem, last) {
				f.Terms++
				last = append(last[:0], stem...)
			}
		})
		return nil
	})
	all := make([]Field, 0, len(fields))
	for _, f := range fields {
		f.Bytes = int64(taking[f] + 0.5)
		all = append(all, *f)
	}
	slices.SortFunc(all, func(a, b Field) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), slices.Compare(a.Name, b.Name))
	})
	return all, err
}

// eachRecord calls fn with the key of each record of a page, valid during the call, and the bytes that the record takes. It
// ends where the page makes no sense.
func eachRecord(content []byte, fn func(key []byte, taken int)) {
	var key []byte
	for len(content) > 0 {
		begin := len(content)
		shared, ok1 := uvarint(&content)
		rest, ok2 := uvarint(&content)
		value, ok3 := uvarint(&content)
		if !ok1 || !ok2 || !ok3 || shared > uint64(len(key)) || rest > uint64(len(content)) || value > uint64(len(content))-rest {
			return
		}
		key = append(key[:shared], content[:rest]...)
		content = content[rest+value:]
		fn(key, begin-len(content))
	}
}

func uvarint(b *[]byte) (uint64, bool) {
	v, n := binary.Uvarint(*b)
	if n <= 0 {
		return 0, false
	}
	*b = (*b)[n:]
	return v, true
}

// splitTerm returns the field of a term's key, and the part of the key that all records of the term share. Both are views into key.
func splitTerm(key []byte) (field, stem []byte, ok bool) {
	rest := key
	n, ok := uvarint(&rest)
	if !ok || n > uint64(len(rest)) {
		return nil, nil, false
	}
	field = rest[:n]
	for at := len(key) - len(rest) + int(n); at+1 < len(key); at++ {
		if key[at] != 0 {
			continue
		}
		if key[at+1] != 0xff {
			return field, key[:at], true
		}
		at++
	}
	return nil, nil, false
}
