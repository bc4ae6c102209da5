package block

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// Version is the version of the format that this package writes, and the only one it reads.
const Version = 1

// MaxMeta is the greatest length of a meta.json, in bytes.
const MaxMeta = 4 << 20

// Meta says what a block is. All times are Unix nanoseconds but Created.
type Meta struct {
	Version int    `json:"version"`
	ID      ID     `json:"id"`
	Tenant  string `json:"tenant"`
	// Created is when the block was written.
	Created time.Time `json:"created"`
	// MinKey and MaxKey are the first and the last key.
	MinKey Key `json:"minKey"`
	MaxKey Key `json:"maxKey"`
	// MinStart and MaxStart are the range of the rows' starts, MaxEnd the greatest of their ends.
	// All are 0 if there are no rows.
	MinStart int64 `json:"minStart"`
	MaxStart int64 `json:"maxStart"`
	MaxEnd   int64 `json:"maxEnd"`
	// Keys is the number of keys, Rows that of rows in the search object.
	Keys int64 `json:"keys"`
	Rows int64 `json:"rows"`
	// Level is how often the block's data has been compacted.
	Level int `json:"level"`
	// Parents are the blocks it was compacted from, Sources the log segments it was cut from.
	Parents []ID     `json:"parents,omitempty"`
	Sources []string `json:"sources,omitempty"`
	// Objects are the block's other objects by name.
	Objects map[string]Object `json:"objects"`
	// Data is the root of the data's directory, in the index object; Summary that of the
	// summaries', in the summary object.
	Data    page.Root `json:"data"`
	Summary page.Root `json:"summary"`
}

// Object is an object of a block.
type Object struct {
	// Bytes is its length.
	Bytes int64 `json:"bytes"`
	// Checksum is the XXH64 of all its bytes.
	Checksum Sum `json:"xxh64"`
}

// Bytes returns the length of all objects but meta.json.
func (m *Meta) Bytes() (n int64) {
	for _, o := range m.Objects {
		n += o.Bytes
	}
	return n
}

// Key is a block's key, in JSON 32 hexadecimal digits.
type Key [16]byte

// String returns the key as 32 hexadecimal digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// MarshalText returns the key as 32 hexadecimal digits.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads 32 hexadecimal digits.
func (k *Key) UnmarshalText(b []byte) error { return decodeHex(k[:], b) }

// Sum is a checksum, in JSON 16 hexadecimal digits.
type Sum uint64

// MarshalText returns the checksum as 16 hexadecimal digits.
func (s Sum) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(s)), nil }

// UnmarshalText reads 16 hexadecimal digits.
func (s *Sum) UnmarshalText(b []byte) error {
	var sum [8]byte
	if err := decodeHex(sum[:], b); err != nil {
		return err
	}
	*s = 0
	for _, c := range sum {
		*s = *s<<8 | Sum(c)
	}
	return nil
}

func decodeHex(dst, b []byte) error {
	if len(b) != hex.EncodedLen(len(dst)) {
		return fmt.Errorf("%.40q is not %d hexadecimal digits", b, hex.EncodedLen(len(dst)))
	}
	_, err := hex.Decode(dst, b)
	return err
}

// metaFile is the content of meta.json: the block, and the checksum of the bytes that describe it.
type metaFile struct {
	Checksum Sum             `json:"xxh64"`
	Block    json.RawMessage `json:"block"`
}

// AppendMeta appends m to dst as the content of a meta.json.
func AppendMeta(dst []byte, m *Meta) ([]byte, error) {
	// Compact first: what is hashed must not depend on how it is indented.
	block, err := json.Marshal(m)
	if err != nil {
		return dst, err
	}
	content, err := json.MarshalIndent(metaFile{Sum(xxhash.Sum64(block)), block}, "", "  ")
	if err != nil {
		return dst, err
	}
	return append(append(dst, content...), '\n'), nil
}

// ParseMeta reads the content of a meta.json. It refuses what it does not know, what does not have the
// checksum it says, and what contradicts itself.
func ParseMeta(b []byte) (*Meta, error) {
	if len(b) > MaxMeta {
		return nil, fmt.Errorf("longer than %d bytes", MaxMeta)
	}
	var file metaFile
	if err := strictly(b, &file); err != nil {
		return nil, err
	}
	var block bytes.Buffer
	if err := json.Compact(&block, file.Block); err != nil {
		return nil, err
	}
	if sum := Sum(xxhash.Sum64(block.Bytes())); sum != file.Checksum {
		return nil, fmt.Errorf("checksum is %016x, the block it describes has %016x", uint64(file.Checksum), uint64(sum))
	}
	// The version first: a later one may have fields that are not known here.
	var version struct{ Version int }
	if err := json.Unmarshal(block.Bytes(), &version); err != nil {
		return nil, err
	}
	if version.Version != Version {
		return nil, fmt.Errorf("format version %d; this program reads version %d: %w", version.Version, Version, ErrNewer)
	}
	m := new(Meta)
	if err := strictly(block.Bytes(), m); err != nil {
		return nil, err
	}
	return m, m.check()
}

func strictly(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// check finds contradictions.
func (m *Meta) check() error {
	if _, err := ParseID(string(m.ID)); err != nil {
		return err
	}
	for _, id := range m.Parents {
		if _, err := ParseID(string(id)); err != nil {
			return fmt.Errorf("parent: %w", err)
		}
	}
	if err := CheckTenant(m.Tenant); err != nil {
		return err
	}
	if len(m.Objects) != len(objectNames) {
		return fmt.Errorf("%d objects, should be %d", len(m.Objects), len(objectNames))
	}
	for _, name := range objectNames {
		if o, ok := m.Objects[name]; !ok || o.Bytes < 0 || o.Bytes > math.MaxInt64/int64(len(objectNames)) {
			return fmt.Errorf("object %s is missing or has an impossible length", name)
		}
	}
	within := func(r page.Root, object string) bool {
		return r.Offset >= 0 && r.Length > 0 && r.Offset <= m.Objects[object].Bytes-r.Length
	}
	switch {
	case m.Keys < 1 || m.Keys > math.MaxUint32 || m.Rows < 0 || m.Level < 0:
		return fmt.Errorf("%d keys, %d rows, level %d", m.Keys, m.Rows, m.Level)
	case bytes.Compare(m.MinKey[:], m.MaxKey[:]) > 0:
		return fmt.Errorf("first key %s is greater than the last, %s", m.MinKey, m.MaxKey)
	case m.MinStart > m.MaxStart:
		return fmt.Errorf("starts from %d to %d", m.MinStart, m.MaxStart)
	case !within(m.Data, indexObject) || !within(m.Summary, summaryObject):
		return errors.New("a table's root is not in its object")
	}
	return nil
}

// ReadMeta reads and checks the meta.json of a block. If there is none there is no block: the error is
// backend.ErrNotExist. Damage is a *page.CorruptError; a format that is not known here, ErrNewer.
func ReadMeta(ctx context.Context, bucket backend.Bucket, tenant string, id ID) (*Meta, error) {
	name := objectName(tenant, id, metaObject)
	content, err := readWhole(ctx, bucket, name, MaxMeta)
	if err != nil {
		return nil, fmt.Errorf("block %s of tenant %s: %w", id, tenant, err)
	}
	return parseMetaOf(content, tenant, id)
}

// parseMetaOf is ParseMeta of a block that is known.
func parseMetaOf(content []byte, tenant string, id ID) (*Meta, error) {
	name := objectName(tenant, id, metaObject)
	m, err := ParseMeta(content)
	if err == nil && (m.Tenant != tenant || m.ID != id) {
		err = fmt.Errorf("describes block %s of tenant %s", m.ID, m.Tenant)
	}
	if errors.Is(err, ErrNewer) {
		return nil, fmt.Errorf("object %s: %w", name, err)
	}
	if err != nil {
		return nil, &page.CorruptError{Object: name, What: "description of a block", Reason: err.Error()}
	}
	return m, nil
}

// readWhole reads an object of at most limit bytes, most often with one request. Of a longer one it reads some more than that.
func readWhole(ctx context.Context, bucket backend.Bucket, name string, limit int) ([]byte, error) {
	content := make([]byte, 0, 16<<10)
	for {
		n, err := bucket.ReadAt(ctx, name, content[len(content):cap(content)], int64(len(content)))
		content = content[:len(content)+n]
		if err == io.EOF || errors.Is(err, io.EOF) {
			return content, nil
		}
		if err != nil {
			return nil, err
		}
		if len(content) > limit {
			return content, nil // the caller refuses it
		}
		content = append(make([]byte, 0, 4*cap(content)), content...)
	}
}
