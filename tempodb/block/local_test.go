package block

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
)

// The whole way in a directory, as a person would find it.
func TestSalvageInADirectory(t *testing.T) {
	dir := t.TempDir()
	bucket, err := local.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := newSample(t, 5, 14)
	id := write(t, bucket, s.entries, WriterOptions{PageBytes: 200}).ID
	data := filepath.Join(dir, tenant, string(id), dataObject)
	content, err := os.ReadFile(data)
	if err != nil {
		t.Fatal(err)
	}
	content = flipped(content, len(content)/2)
	if err := os.WriteFile(data, content, 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := Salvage(ctx, bucket, tenant, id, lines{}, SalvageOptions{})
	if err != nil || report.Saved == 0 || report.LostCount != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	if _, err := os.Stat(filepath.Dir(data)); !os.IsNotExist(err) {
		t.Errorf("the bad block's folder is still there: %v", err)
	}
	kept, err := os.ReadFile(filepath.Join(dir, QuarantineFolder, tenant, string(id), dataObject))
	if err != nil || !bytes.Equal(kept, content) {
		t.Errorf("%d bytes are kept, %v", len(kept), err)
	}
	if found, err := ListQuarantine(ctx, bucket); err != nil || !slices.Equal(found, []Quarantined{{tenant, id}}) {
		t.Errorf("quarantine: %v, %v", found, err)
	}
	if err := mustOpen(t, bucket, report.NewBlock).Verify(ctx); err != nil {
		t.Error(err)
	}
}
