package objectstores

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
)

// cli is tempo-cli as a process, on one store.
type cli struct {
	t             *testing.T
	program, flag string
	env           []string
}

// run returns what it prints, and its exit code.
func (c *cli) run(args ...string) (stdout, stderr string, code int) {
	c.t.Helper()
	cmd := exec.Command(c.program, append([]string{c.flag, "--tenant=" + tenant}, args...)...)
	cmd.Env = append(os.Environ(), c.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// ask runs it and expects it to end well.
func (c *cli) ask(args ...string) string {
	c.t.Helper()
	stdout, stderr, code := c.run(args...)
	if code != 0 {
		c.t.Errorf("tempo-cli %s: exit code %d: %s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// On any store, while a daemon writes blocks, merges them and deletes those that were merged, and without the daemon.
func TestTempoCLIAnswersOnEveryStoreBesideADaemon(t *testing.T) {
	program := filepath.Join(t.TempDir(), "tempo-cli")
	build := exec.Command("go", "build", "-o", program, "./cmd/tempo-cli")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, store := range []struct {
		name string
		open func(t *testing.T) (b backend.Bucket, flag string, env []string)
	}{
		{"directory", func(t *testing.T) (backend.Bucket, string, []string) {
			dir := t.TempDir()
			b, err := local.New(dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.Close() })
			return b, "--store=" + dir, nil
		}},
		{"GCS", func(t *testing.T) (backend.Bucket, string, []string) {
			address := fakeGCS(t, itself)
			return openGCS(t, address, "in/a/folder"), "--store=gs://" + bucketName + "/in/a/folder", []string{"STORAGE_EMULATOR_HOST=" + address}
		}},
		{"S3", func(t *testing.T) (backend.Bucket, string, []string) {
			address, _ := s3Server(t)
			return openS3(t, address, "in/a/folder"), "--store=s3://" + bucketName + "/in/a/folder", []string{
				"AWS_ENDPOINT_URL_S3=http://" + address, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey,
			}
		}},
	} {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			bucket, flag, env := store.open(t)
			c := &cli{t, program, flag, env}
			besideADaemon(t, bucket, c)
		})
	}
}

func besideADaemon(t *testing.T, bucket backend.Bucket, c *cli) {
	const traces = 300
	daemon, err := tracedb.Open(t.Context(), tracedb.Options{Dir: t.TempDir(), Bucket: bucket})
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	w := workload.New(5, traces)
	// Blocks of a few requests, and a compaction after every other.
	write := func() error {
		writer := writepath.NewWriter(daemon)
		n := 0
		for r := range w.Requests() {
			if _, err := writer.Write(t.Context(), tenant, r.Data); err != nil {
				return err
			}
			if n++; n%2 > 0 {
				continue
			}
			if err := daemon.Cut(t.Context()); err != nil {
				return err
			}
			db, err := daemon.Tenant(tenant)
			if err == nil && n%4 == 0 {
				err = db.Compact(t.Context())
			}
			if err != nil {
				return err
			}
		}
		return daemon.Cut(t.Context())
	}
	written := make(chan error, 1)
	go func() { written <- write() }()
	for rounds := 0; ; rounds++ {
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
			if t.Logf("asked %d times while it wrote", rounds); rounds == 0 {
				t.Error("all was written before anything was asked")
			}
			settled(t, c, w.Truth())
			return
		default:
		}
		// Until there is the first block there is no tenant.
		if _, stderr, code := c.run("blocks", "list"); code == 4 {
			continue
		} else if code != 0 {
			t.Errorf("blocks list: %d: %s", code, stderr)
		}
		c.ask("search", "--service=frontend", "--limit=3")
		c.ask("services")
		c.ask("blocks", "verify", "--all")
		if _, stderr, code := c.run("export", "--format=otlp-json", "-o", "-"); code != 0 && !(code == 3 && strings.Contains(stderr, "ask again")) {
			t.Errorf("export: %d: %s", code, stderr)
		}
	}
}

// settled asks for all that was written.
func settled(t *testing.T, c *cli, truth *workload.Truth) {
	var found struct {
		Traces []struct {
			TraceID string
			Spans   int
		}
	}
	if err := json.Unmarshal([]byte(c.ask("search", "--limit=0", "-o", "json")), &found); err != nil {
		t.Fatal(err)
	}
	spans := make(map[string]int)
	for _, f := range found.Traces {
		spans[f.TraceID] = f.Spans
	}
	for _, want := range truth.Traces {
		if got := spans[fmt.Sprintf("%x", want.TraceID)]; got != want.Spans {
			t.Errorf("trace %x has %d spans, want %d", want.TraceID, got, want.Spans)
		}
	}
	if lines := strings.Count(c.ask("export", "--format=otlp-json", "-o", "-"), "\n"); lines != len(truth.Traces) || len(spans) != lines {
		t.Errorf("%d traces are found and %d exported, of %d", len(spans), lines, len(truth.Traces))
	}
	id := fmt.Sprintf("%x", truth.Traces[7].TraceID)
	if out := c.ask("trace", id); !strings.Contains(out, fmt.Sprintf("trace %s, %d spans", id, truth.Traces[7].Spans)) {
		t.Errorf("trace %s: %s", id, out)
	}
	if services := strings.Fields(c.ask("services")); len(services) != len(truth.Operations) {
		t.Errorf("services %q", services)
	}
	if out := c.ask("blocks", "verify", "--all"); !strings.Contains(out, "ok") || strings.Contains(out, "DAMAGED") {
		t.Error(out)
	}
	if _, stderr, code := c.run("trace", "1"); code != 4 {
		t.Errorf("a trace that is not there: %d: %s", code, stderr)
	}
}
