// Package open opens the object store that a URL names.
//
//	place, err := open.Parse("gs://bucket/prefix")     // or s3://, azblob://, file://, or a directory
//	bucket, err := place.Open(ctx, open.FromEnv(os.LookupEnv))
//	defer bucket.Close()
//
// A URL says where, and nothing else: endpoints and credentials are found in the environment, by the names that all programs of the store's maker
// know. So a URL can be logged.
//
// Functions may be called concurrently.
package open

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/gcs"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/backend/objstore/azure"
	"github.com/jaeger-tempo/tempo/tempodb/backend/objstore/s3"
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
	return string(p.Scheme) + "://" + p.Bucket + "/" + p.Prefix
}

// Options say how a store is reached. Those of other stores than that of the place have no effect.
type Options struct {
	// S3Endpoint is a server that speaks S3, host:port; with http:// before it, one without TLS. Amazon's if empty.
	S3Endpoint, S3Region string
	// S3Insecure is for a server without TLS; S3PathStyle puts the bucket's name into the path and not into the host's name.
	S3Insecure, S3PathStyle bool
	// AzureAccount with AzureKey, or AzureConnection.
	AzureAccount, AzureKey, AzureConnection string
}

// FromEnv returns what the environment says: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_REGION, AWS_DEFAULT_REGION, AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_KEY,
// AZURE_STORAGE_CONNECTION_STRING. Other variables, such as credentials, are read by the stores' own clients.
func FromEnv(lookup func(string) (string, bool)) Options {
	get := func(names ...string) string {
		for _, name := range names {
			if v, _ := lookup(name); v != "" {
				return v
			}
		}
		return ""
	}
	o := Options{
		S3Endpoint:      get("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
		S3Region:        get("AWS_REGION", "AWS_DEFAULT_REGION"),
		AzureAccount:    get("AZURE_STORAGE_ACCOUNT"),
		AzureKey:        get("AZURE_STORAGE_KEY"),
		AzureConnection: get("AZURE_STORAGE_CONNECTION_STRING"),
	}
	return o
}

// Bucket is a store that is open.
type Bucket interface {
	backend.Bucket
	io.Closer
}

// Open opens the store. A directory is made if it does not exist; a bucket must exist.
func (p Place) Open(ctx context.Context, o Options) (Bucket, error) {
	switch p.Scheme {
	case File:
		return local.New(p.Path)
	case GCS:
		return gcs.Open(ctx, gcs.Options{Bucket: p.Bucket, Prefix: p.Prefix})
	case S3:
		return s3.Open(ctx, o.s3(p))
	case Azure:
		if o.AzureAccount == "" && o.AzureConnection == "" {
			return nil, fmt.Errorf("%s: set AZURE_STORAGE_ACCOUNT or AZURE_STORAGE_CONNECTION_STRING in the environment", p)
		}
		return azure.Open(ctx, azure.Options{
			Account: o.AzureAccount, Key: o.AzureKey, ConnectionString: o.AzureConnection, Container: p.Bucket, Prefix: p.Prefix,
		})
	}
	return nil, fmt.Errorf("%q is no object store", p)
}

func (o Options) s3(p Place) s3.Options {
	insecure := o.S3Insecure
	scheme, host, ok := strings.Cut(o.S3Endpoint, "://")
	if !ok {
		host = scheme
	} else if scheme == "http" {
		insecure = true
	}
	amazon := "s3.amazonaws.com"
	if o.S3Region != "" {
		amazon = "s3." + o.S3Region + ".amazonaws.com"
	}
	return s3.Options{
		Endpoint: cmp.Or(strings.TrimSuffix(host, "/"), amazon),
		Bucket:   p.Bucket, Prefix: p.Prefix, Region: o.S3Region, Insecure: insecure, PathStyle: o.S3PathStyle,
	}
}
