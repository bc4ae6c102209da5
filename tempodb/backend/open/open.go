// Package open opens the object store that a URL names.
//
//	at, err := place.Parse("gs://bucket/prefix")     // or s3://, azblob://, file://, or a directory
//	bucket, err := open.Open(ctx, at, open.FromEnv(os.LookupEnv))
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
	"fmt"
	"io"
	"strings"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/gcs"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/backend/objstore/azure"
	"github.com/jaeger-tempo/tempo/tempodb/backend/objstore/s3"
	"github.com/jaeger-tempo/tempo/tempodb/backend/place"
)

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
	return Options{
		S3Endpoint:      get("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
		S3Region:        get("AWS_REGION", "AWS_DEFAULT_REGION"),
		AzureAccount:    get("AZURE_STORAGE_ACCOUNT"),
		AzureKey:        get("AZURE_STORAGE_KEY"),
		AzureConnection: get("AZURE_STORAGE_CONNECTION_STRING"),
	}
}

// Bucket is a store that is open.
type Bucket interface {
	backend.Bucket
	io.Closer
}

// Open opens the store. A directory is made if it does not exist; a bucket must exist.
func Open(ctx context.Context, p place.Place, o Options) (Bucket, error) {
	switch p.Scheme {
	case place.File:
		return local.New(p.Path)
	case place.GCS:
		return gcs.Open(ctx, gcs.Options{Bucket: p.Bucket, Prefix: p.Prefix})
	case place.S3:
		return s3.Open(ctx, o.s3(p))
	case place.Azure:
		if o.AzureAccount == "" && o.AzureConnection == "" {
			return nil, fmt.Errorf("%s: set AZURE_STORAGE_ACCOUNT or AZURE_STORAGE_CONNECTION_STRING in the environment", p)
		}
		return azure.Open(ctx, azure.Options{
			Account: o.AzureAccount, Key: o.AzureKey, ConnectionString: o.AzureConnection, Container: p.Bucket, Prefix: p.Prefix,
		})
	}
	return nil, fmt.Errorf("%q is no object store", p)
}

func (o Options) s3(p place.Place) s3.Options {
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
