package objectstores

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/api/option"

	"github.com/jaeger-tempo/tempo/e2e/cluster/faults"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/gcs"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/backend/objstore/s3"
)

const (
	bucketName = "traces"
	accessKey  = "test-access"
	secretKey  = "test-secret"
)

// binary returns the path of a server's program. It is built if it is not there.
var binary = func() func(t *testing.T, name string) string {
	build := sync.OnceValue(func() error {
		fmt.Println("building the servers; this takes about two minutes the first time")
		cmd := exec.Command("go", "build", "-trimpath", "-o", "../../../bin/objectstores/", "tool")
		cmd.Dir = "servers"
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("go build tool in servers/: %w\n%s", err, out)
		}
		return nil
	})
	return func(t *testing.T, name string) string {
		t.Helper()
		path, err := filepath.Abs(filepath.Join("../../bin/objectstores", name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil {
			if err := build(); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
}()

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// server is a server's process, which can be killed and started again at the same address.
type server struct {
	address, program string
	args             []string
	output           bytes.Buffer
	cmd              *exec.Cmd
	ended            chan error
}

// start runs a server until the test ends, and returns when it accepts connections.
func start(t *testing.T, address, program string, args ...string) *server {
	t.Helper()
	s := &server{address: address, program: program, args: args}
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("the last words of %s:\n%s", filepath.Base(program), s.output.Bytes()[max(0, s.output.Len()-4000):])
		}
	})
	return s
}

// kill ends the server with SIGKILL.
func (s *server) kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		<-s.ended
		s.cmd = nil
	}
}

// run starts the server, and returns when it accepts connections.
func (s *server) run() error {
	cmd := exec.Command(s.program, s.args...)
	cmd.Stdout, cmd.Stderr = &s.output, &s.output
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.ended = cmd, make(chan error, 1)
	go func() { s.ended <- cmd.Wait() }()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	timeout := time.After(20 * time.Second)
	for {
		if c, err := net.Dial("tcp", s.address); err == nil {
			c.Close()
			return nil
		}
		select {
		case <-poll.C:
		case err := <-s.ended:
			s.cmd = nil
			return fmt.Errorf("%s ended: %v\n%s", s.program, err, s.output.Bytes())
		case <-timeout:
			s.kill()
			return fmt.Errorf("%s does not answer on %s", s.program, s.address)
		}
	}
}

// newProxy starts a proxy before a server until the test ends.
func newProxy(t *testing.T, upstream string, seed uint64) *faults.Proxy {
	t.Helper()
	p, err := faults.New("127.0.0.1:0", upstream, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// fakeGCS starts a server of the GCS protocol with the bucket in it, and returns its address. Uploads are told to go to public.
func fakeGCS(t *testing.T, public func(address string) string) string {
	t.Helper()
	return startGCS(t, public, "-backend", "memory").address
}

// startGCS is fakeGCS with what the server keeps objects in.
func startGCS(t *testing.T, public func(address string) string, backend ...string) *server {
	t.Helper()
	address := freePort(t)
	host, port, _ := net.SplitHostPort(address)
	s := start(t, address, binary(t, "fake-gcs-server"), append(backend, "-scheme", "http", "-host", host, "-port", port,
		"-external-url", "http://"+public(address), "-log-level", "error")...)
	resp, err := http.Post("http://"+address+"/storage/v1/b?project=test", "application/json", strings.NewReader(`{"name":"`+bucketName+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("create bucket: %s %s", resp.Status, text)
	}
	return s
}

// s3Server starts a server of the S3 protocol with the bucket in it, and returns its address and the folder that it serves.
func s3Server(t *testing.T) (address, folder string) {
	t.Helper()
	s, folder := startS3(t)
	return s.address, folder
}

func startS3(t *testing.T) (s *server, folder string) {
	t.Helper()
	folder = t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, bucketName), 0o755); err != nil {
		t.Fatal(err)
	}
	address := freePort(t)
	return start(t, address, binary(t, "versitygw"), "--port", address, "--access", accessKey, "--secret", secretKey, "--quiet", "--keep-alive", "posix", folder), folder
}

// Small chunks and parts, so that objects of some megabytes are big ones.
const (
	chunkSize = 1 << 20
	partSize  = 5 << 20
)

// patient is how long a client waits for a store that does nothing, in tests of which that is not the point.
const patient = time.Second

func tryGCS(address, prefix string, stall time.Duration) (*gcs.Bucket, error) {
	return gcs.Open(context.Background(), gcs.Options{
		Bucket: bucketName, Prefix: prefix, ChunkSize: chunkSize, ChunkTimeout: stall, ChunkRetries: 5 * stall,
		Client: []option.ClientOption{option.WithEndpoint("http://" + address + "/storage/v1/"), option.WithoutAuthentication()},
	})
}

func openGCS(t *testing.T, address, prefix string) *gcs.Bucket {
	t.Helper()
	b, err := tryGCS(address, prefix, patient)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func s3Options(address, prefix string, stall time.Duration) s3.Options {
	return s3.Options{
		Endpoint: address, Insecure: true, Region: "us-east-1", Bucket: bucketName, Prefix: prefix, PathStyle: true,
		AccessKey: accessKey, SecretKey: secretKey, PartSize: partSize, Stall: stall,
	}
}

func tryS3(address, prefix string, stall time.Duration) (*s3.Bucket, error) {
	return s3.Open(context.Background(), s3Options(address, prefix, stall))
}

func openS3(t *testing.T, address, prefix string) *s3.Bucket {
	t.Helper()
	o := s3Options(address, prefix, patient)
	o.TempDir = t.TempDir()
	b, err := s3.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func openLocal(t *testing.T) backend.Bucket {
	t.Helper()
	b, err := local.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func itself(address string) string { return address }
