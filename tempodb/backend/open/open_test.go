package open

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/place"
)

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestFromEnv(t *testing.T) {
	for _, c := range []struct {
		name string
		env  []string
		want Options
	}{
		{name: "nothing"},
		{name: "S3", env: []string{"AWS_ENDPOINT_URL", "http://h:1", "AWS_REGION", "r"}, want: Options{S3Endpoint: "http://h:1", S3Region: "r"}},
		{name: "the endpoint of S3 alone goes first", env: []string{"AWS_ENDPOINT_URL", "h:1", "AWS_ENDPOINT_URL_S3", "h:2"}, want: Options{S3Endpoint: "h:2"}},
		{name: "an empty variable is none", env: []string{"AWS_ENDPOINT_URL_S3", "", "AWS_ENDPOINT_URL", "h:1", "AWS_REGION", "", "AWS_DEFAULT_REGION", "d"},
			want: Options{S3Endpoint: "h:1", S3Region: "d"}},
		{name: "Azure", env: []string{"AZURE_STORAGE_ACCOUNT", "a", "AZURE_STORAGE_KEY", "k", "AZURE_STORAGE_CONNECTION_STRING", "c"},
			want: Options{AzureAccount: "a", AzureKey: "k", AzureConnection: "c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := FromEnv(env(c.env...)); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestS3EndpointSaysWhetherThereIsTLS(t *testing.T) {
	at := place.Place{Scheme: place.S3, Bucket: "b", Prefix: "p"}
	for _, c := range []struct {
		o        Options
		endpoint string
		insecure bool
	}{
		{Options{}, "s3.amazonaws.com", false},
		{Options{S3Region: "eu-north-1"}, "s3.eu-north-1.amazonaws.com", false},
		{Options{S3Endpoint: "h:9000"}, "h:9000", false},
		{Options{S3Endpoint: "h:9000", S3Insecure: true}, "h:9000", true},
		{Options{S3Endpoint: "http://h:9000/"}, "h:9000", true},
		{Options{S3Endpoint: "https://h:9000"}, "h:9000", false},
	} {
		got := c.o.s3(at)
		if got.Endpoint != c.endpoint || got.Insecure != c.insecure || got.Bucket != "b" || got.Prefix != "p" || got.Region != c.o.S3Region {
			t.Errorf("%+v is %+v", c.o, got)
		}
	}
}

func TestADirectoryIsMadeAndOpened(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	at, err := place.Parse(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(context.Background(), at, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	w, err := b.Create(context.Background(), "tenant/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Size(context.Background(), "tenant/x"); n != 5 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := b.Size(context.Background(), "tenant/y"); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("an object that does not exist: %v", err)
	}
}

func TestAzureWithoutAnAccountSaysWhatToSet(t *testing.T) {
	at, err := place.Parse("azblob://c/p")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), at, Options{}); err == nil || !strings.Contains(err.Error(), "set AZURE_STORAGE_ACCOUNT") {
		t.Errorf("%v", err)
	}
}
