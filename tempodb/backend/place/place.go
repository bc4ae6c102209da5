// Package place reads the URLs of object stores. Package open opens what they name; this one needs no client of any store.
//
// A URL says where, and nothing else: no endpoint and no credentials. So it can be logged.
//
// Functions may be called concurrently.
package place

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// Scheme is a kind of object store.
type Scheme string

// The schemes.
const (
	File  Scheme = "file"
	GCS   Scheme = "gs"
	S3    Scheme = "s3"
	Azure Scheme = "azblob"
)

// Place is a URL of an object store, taken apart.
type Place struct {
	Scheme Scheme
	// Path is the directory of a File.
	Path string
	// Bucket is the name of a bucket, of Azure a container; Prefix the folder in it, without slashes at its ends, empty for none.
	Bucket, Prefix string
}

// Parse takes a URL apart: a directory, file:///DIRECTORY, gs://BUCKET/PREFIX, s3://BUCKET/PREFIX or azblob://CONTAINER/PREFIX.
func Parse(text string) (Place, error) {
	if text == "" {
		return Place{}, errors.New("is empty: write a directory, gs://BUCKET/PREFIX, s3://BUCKET/PREFIX or azblob://CONTAINER/PREFIX")
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return Place{Scheme: File, Path: text}, nil
	}
	if scheme == "file" {
		u, err := url.Parse(text)
		if err != nil || u.Host != "" && u.Host != "localhost" || u.Path == "" {
			return Place{}, fmt.Errorf("%q is no file URL: write file:///the/path, or just the path", text)
		}
		return Place{Scheme: File, Path: u.Path}, nil
	}
	p := Place{Scheme: Scheme(scheme)}
	switch scheme {
	case "gs", "s3", "azblob":
	case "gcs":
		p.Scheme = GCS
	case "azure":
		p.Scheme = Azure
	default:
		return Place{}, fmt.Errorf("%q: %s is none of file, gs, s3 and azblob", text, scheme)
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if bucket == "" || strings.ContainsAny(bucket, "?@:") {
		return Place{}, fmt.Errorf("%q should be %s://BUCKET/PREFIX; endpoints and credentials are taken from the environment", text, scheme)
	}
	p.Bucket, p.Prefix = bucket, strings.Trim(prefix, "/")
	if p.Prefix != "" {
		if err := backend.CheckName(p.Prefix); err != nil {
			return Place{}, fmt.Errorf("%q: prefix: %w", text, err)
		}
	}
	return p, nil
}

// String is the URL; of a File the path.
func (p Place) String() string {
	if p.Scheme == File {
		return p.Path
	}
	url := string(p.Scheme) + "://" + p.Bucket
	if p.Prefix != "" {
		url += "/" + p.Prefix
	}
	return url
}
