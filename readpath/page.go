package readpath

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/tempodb/index"
)

// maxPage is how many traces or spans a page has at most; of one that is asked to have more, the rest follows on the next.
const maxPage = 10_000

// QueryError says why a query can't be answered, whatever the store holds: the caller must ask another one.
type QueryError struct{ Reason string }

func (e *QueryError) Error() string { return e.Reason }

// A page of traces ends at a place in their order: the newest matching row first, and of rows that started together the one of the smaller key. The next page begins
// behind it. What has come since the first page was asked for, and started later than all that was there, stays outside: it would move traces that were seen.
type place struct {
	after index.Hit // the last trace of the page before
	upper int64     // the start of the newest row that counts
}

// A token is, in base64:
//
//	version (1) | start (8) | key (16) | upper (8) | checksum of these and of the query (8)
//
// The checksum binds it to the query that it was made for, and tells damage. It is no signature: who forges one sees nothing but another part of the same answer.
const (
	tokenVersion = 1
	tokenBytes   = 1 + 8 + 16 + 8
)

func (p place) token(fingerprint uint64) string {
	b := append(make([]byte, 0, tokenBytes+8), tokenVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(p.after.Start))
	b = append(b, p.after.Key[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(p.upper))
	return sealToken(b, fingerprint)
}

// parsePlace reads what token made for a query of that fingerprint.
func parsePlace(token string, fingerprint uint64) (p place, err error) {
	b, err := openToken(token, tokenVersion, tokenBytes, fingerprint)
	if err != nil {
		return p, err
	}
	p.after.Start = int64(binary.BigEndian.Uint64(b[1:]))
	copy(p.after.Key[:], b[9:])
	p.upper = int64(binary.BigEndian.Uint64(b[25:]))
	if p.after.Start > p.upper {
		return p, errToken
	}
	return p, nil
}

var errToken = &QueryError{"the page token is not one that this query was given: repeat the query as it was, or begin anew without a token"}

// sealToken ends a token with its checksum.
func sealToken(b []byte, fingerprint uint64) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(b, checksum(b, fingerprint)))
}

// openToken returns what stands before the checksum of a token: size bytes, of which the first is the version.
func openToken(token string, version byte, size int, fingerprint uint64) ([]byte, error) {
	if len(token) != base64.RawURLEncoding.EncodedLen(size+8) {
		return nil, errToken
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != size+8 || b[0] != version || binary.BigEndian.Uint64(b[size:]) != checksum(b[:size], fingerprint) {
		return nil, errToken
	}
	return b[:size], nil
}

func checksum(b []byte, fingerprint uint64) uint64 {
	d := xxhash.NewWithSeed(fingerprint)
	d.Write(b) // never fails
	return d.Sum64()
}

// fingerprint tells queries apart; of pages of one query it is the same.
func (q *Query) fingerprint(tenant string) uint64 {
	r := timeRange(q.StartMin, q.StartMax)
	b := appendText(nil, tenant, q.Service, q.Operation)
	for _, v := range [...]int64{r.Min, r.Max, int64(q.DurationMin), int64(q.DurationMax), int64(len(q.Tags)), int64(len(q.Doubles))} {
		b = binary.AppendVarint(b, v)
	}
	for _, key := range slices.Sorted(maps.Keys(q.Tags)) {
		b = appendText(b, key, q.Tags[key])
	}
	for _, key := range slices.Sorted(maps.Keys(q.Doubles)) {
		b = binary.LittleEndian.AppendUint64(appendText(b, key), math.Float64bits(q.Doubles[key]))
	}
	if q.Filter != nil {
		b = q.Filter.AppendTo(b)
	}
	return xxhash.Sum64(b)
}

func appendText(b []byte, texts ...string) []byte {
	for _, s := range texts {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

// check refuses what contradicts itself.
func (q *Query) check() error {
	switch {
	case q.Filter != nil && (q.Service != "" || q.Operation != "" || len(q.Tags)+len(q.Doubles) > 0 || q.DurationMin != 0 || q.DurationMax != 0):
		return &QueryError{"a query has either a filter or conditions of service, operation, tags and duration: put them into the filter"}
	case q.PageSize < 0:
		return &QueryError{fmt.Sprintf("a page of %d traces", q.PageSize)}
	case q.PageSize > 0 && q.Limit > 0:
		return &QueryError{"a query has either a limit or pages"}
	case q.PageSize == 0 && q.PageToken != "":
		return &QueryError{"a page token without the size of a page"}
	}
	return nil
}
