package block

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// QuarantineFolder is the folder of a bucket in which bad blocks are kept. It is no tenant.
const QuarantineFolder = "quarantine"

const reportObject = "report.json"

// MaxReport is the greatest length of a report.json, in bytes.
const MaxReport = 16 << 20

// ReportVersion is the version of SalvageReport's form.
const ReportVersion = 1

// SalvageReport says what was wrong with a block, what became of its data, and what is kept of it.
type SalvageReport struct {
	Version int    `json:"version"`
	Tenant  string `json:"tenant"`
	Block   ID     `json:"block"`
	// When and By are the time and the program that salvaged.
	When time.Time `json:"when"`
	By   string    `json:"by,omitempty"`
	// Damage is what was found, each place once: the first 1,000 places; DamageCount is how many there were.
	Damage      []DamagedPlace `json:"damage"`
	DamageCount int            `json:"damageCount"`
	// Keys is how many keys the block had, as far as meta.json or the filter still tells; 0 if neither does. Saved
	// is how many of them are in the new block.
	Keys  int64 `json:"keys"`
	Saved int64 `json:"saved"`
	// Lost are the ranges in which keys were lost: the first 1,000; LostCount is how many there were.
	Lost      []KeyRange `json:"lost,omitempty"`
	LostCount int        `json:"lostCount"`
	// Refused are keys, the first 1,000, whose values are whole but were refused by the codec.
	Refused      []RefusedKey `json:"refused,omitempty"`
	RefusedCount int          `json:"refusedCount"`
	// NewBlock is the block that has what was saved; empty if nothing was.
	NewBlock ID `json:"newBlock,omitempty"`
	// Kept are the objects of the bad block as they are in the quarantine, by name.
	Kept map[string]Object `json:"kept"`
	// Meta is what the bad block was, if its meta.json could be read.
	Meta *Meta `json:"meta,omitempty"`
}

// DamagedPlace is damage at a place in an object of the block.
type DamagedPlace struct {
	Object string `json:"object"`
	Offset int64  `json:"offset"`
	What   string `json:"what"`
	Reason string `json:"reason"`
}

// KeyRange is a range of keys, its ends not included; nil is without end.
type KeyRange struct {
	After  *Key `json:"after,omitempty"`
	Before *Key `json:"before,omitempty"`
}

// String returns the range in words.
func (r KeyRange) String() string {
	switch {
	case r.After == nil && r.Before == nil:
		return "all keys"
	case r.After == nil:
		return fmt.Sprintf("before %s", r.Before)
	case r.Before == nil:
		return fmt.Sprintf("after %s", r.After)
	}
	return fmt.Sprintf("between %s and %s", r.After, r.Before)
}

// RefusedKey is a key and why its value was refused.
type RefusedKey struct {
	Key    Key    `json:"key"`
	Reason string `json:"reason"`
}

// Quarantined names a block in the quarantine.
type Quarantined struct {
	Tenant string
	Block  ID
}

// ListQuarantine returns the blocks in the quarantine by tenant and ID. One is listed from the moment that its report is there, when
// it may still be in its place too.
func ListQuarantine(ctx context.Context, bucket backend.Bucket) (found []Quarantined, err error) {
	tenants, err := subfolders(ctx, bucket, QuarantineFolder)
	if err != nil {
		return nil, fmt.Errorf("list quarantine: %w", err)
	}
	for _, tenant := range tenants {
		if CheckTenant(tenant) != nil {
			continue
		}
		blocks, err := subfolders(ctx, bucket, QuarantineFolder+"/"+tenant)
		if err != nil {
			return found, fmt.Errorf("list quarantine of tenant %s: %w", tenant, err)
		}
		for _, name := range blocks {
			if id, err := ParseID(name); err == nil {
				found = append(found, Quarantined{tenant, id})
			}
		}
	}
	return found, nil
}

func subfolders(ctx context.Context, bucket backend.Bucket, dir string) (folders []string, err error) {
	err = bucket.List(ctx, dir, func(name string) error {
		if folder, ok := strings.CutSuffix(name, "/"); ok {
			folders = append(folders, folder)
		}
		return nil
	})
	return folders, err
}

// ReadReport reads the report of a block in the quarantine; backend.ErrNotExist if there is none.
func ReadReport(ctx context.Context, bucket backend.Bucket, tenant string, id ID) (*SalvageReport, error) {
	if err := checkNames(tenant, id); err != nil {
		return nil, err
	}
	name := quarantined(tenant, id, reportObject)
	content, err := readWhole(ctx, bucket, name, MaxReport)
	if err != nil {
		return nil, fmt.Errorf("quarantined block %s of tenant %s: %w", id, tenant, err)
	}
	r, err := parseReport(content)
	if err == nil && (r.Tenant != tenant || r.Block != id) {
		err = fmt.Errorf("it is about block %s of tenant %s", r.Block, r.Tenant)
	}
	if err != nil {
		return nil, fmt.Errorf("quarantined block %s of tenant %s: object %s: %w", id, tenant, name, err)
	}
	return r, nil
}

func parseReport(b []byte) (*SalvageReport, error) {
	if len(b) > MaxReport {
		return nil, fmt.Errorf("longer than %d bytes", MaxReport)
	}
	r := new(SalvageReport)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, err
	}
	if r.Version != ReportVersion {
		return nil, fmt.Errorf("version %d; this program reads version %d", r.Version, ReportVersion)
	}
	return r, nil
}

func checkNames(tenant string, id ID) error {
	if err := CheckTenant(tenant); err != nil {
		return err
	}
	_, err := ParseID(string(id))
	return err
}

func quarantined(tenant string, id ID, object string) string {
	return QuarantineFolder + "/" + objectName(tenant, id, object)
}

// put writes a small object.
func put(ctx context.Context, bucket backend.Bucket, name string, content []byte) error {
	w, err := bucket.Create(ctx, name)
	if err != nil {
		return fmt.Errorf("object %s: %w", name, err)
	}
	defer w.Abort()
	if _, err := w.Write(content); err != nil {
		return fmt.Errorf("object %s: %w", name, err)
	}
	if err := w.Commit(); err != nil {
		return fmt.Errorf("object %s: %w", name, err)
	}
	return nil
}

// copyObject copies an object that has the length and checksum given.
func copyObject(ctx context.Context, bucket backend.Bucket, from, to string, want Object) error {
	w, err := bucket.Create(ctx, to)
	if err != nil {
		return fmt.Errorf("object %s: %w", to, err)
	}
	defer w.Abort()
	got, err := read(ctx, bucket, from, w)
	if err == nil && got != want {
		err = fmt.Errorf("is not what it was a moment ago: %d bytes with checksum %016x, then %d with %016x", want.Bytes, uint64(want.Checksum), got.Bytes, uint64(got.Checksum))
	}
	if err != nil {
		return fmt.Errorf("copy object %s to %s: %w", from, to, err)
	}
	if err := w.Commit(); err != nil {
		return fmt.Errorf("object %s: %w", to, err)
	}
	return nil
}

// read reads an object to its end, writes it to w, and returns its length and checksum.
func read(ctx context.Context, bucket backend.Bucket, name string, w io.Writer) (Object, error) {
	size, err := bucket.Size(ctx, name)
	if err != nil {
		return Object{}, err
	}
	var hash xxhash.Digest
	hash.Reset()
	buf := make([]byte, min(max(size+1, 1), 1<<20))
	for o := (Object{}); ; {
		n, err := bucket.ReadAt(ctx, name, buf, o.Bytes)
		_, _ = hash.Write(buf[:n])
		if _, err := w.Write(buf[:n]); err != nil {
			return Object{}, err
		}
		o.Bytes += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			o.Checksum = Sum(hash.Sum64())
			return o, nil
		case err != nil:
			return Object{}, err
		}
	}
}
