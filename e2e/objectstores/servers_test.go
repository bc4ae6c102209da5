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

// start runs a server until the test ends, and returns when it accepts connections.
func start(t *testing.T, address, program string, args ...string) {
	t.Helper()
	var output bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("the last words of %s:\n%s", filepath.Base(program), output.Bytes()[max(0, output.Len()-4000):])
		}
	})
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	timeout := time.After(20 * time.Second)
	for {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
		select {
		case <-poll.C:
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", program, err, output.Bytes())
		case <-timeout:
			t.Fatalf("%s does not answer on %s", program, address)
		}
	}
}

// fakeGCS starts a server of the GCS protocol with the bucket in it, and returns its address. Uploads are told to go to public.
func fakeGCS(t *testing.T, public func(address string) string) string {
	t.Helper()
	address := freePort(t)
	host, port, _ := net.SplitHostPort(address)
	start(t, address, binary(t, "fake-gcs-server"), "-scheme", "http", "-host", host, "-port", port, "-backend", "memory",
		"-external-url", "http://"+public(address), "-log-level", "error")
	resp, err := http.Post("http://"+address+"/storage/v1/b?project=test", "application/json", strings.NewReader(`{"name":"`+bucketName+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("create bucket: %s %s", resp.Status, text)
	}
	return address
}

// s3Server starts a server of the S3 protocol with the bucket in it, and returns its address and the folder that it serves.
func s3Server(t *testing.T) (address, folder string) {
	t.Helper()
	folder = t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, bucketName), 0o755); err != nil {
		t.Fatal(err)
	}
	address = freePort(t)
	start(t, address, binary(t, "versitygw"), "--port", address, "--access", accessKey, "--secret", secretKey, "--quiet", "--keep-alive", "posix", folder)
	return address, folder
}

// Small chunks and parts, so that objects of some megabytes are big ones.
const (
	chunkSize = 1 << 20
	partSize  = 5 << 20
)

func openGCS(t *testing.T, address, prefix string) *gcs.Bucket {
	t.Helper()
	b, err := gcs.Open(context.Background(), gcs.Options{
		Bucket: bucketName, Prefix: prefix, ChunkSize: chunkSize, ChunkTimeout: time.Second, ChunkRetries: 5 * time.Second,
		Client: []option.ClientOption{option.WithEndpoint("http://" + address + "/storage/v1/"), option.WithoutAuthentication()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func s3Options(address, prefix string) s3.Options {
	return s3.Options{
		Endpoint: address, Insecure: true, Region: "us-east-1", Bucket: bucketName, Prefix: prefix, PathStyle: true,
		AccessKey: accessKey, SecretKey: secretKey, PartSize: partSize, Stall: time.Second,
	}
}

func openS3(t *testing.T, address, prefix string) *s3.Bucket {
	t.Helper()
	o := s3Options(address, prefix)
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
