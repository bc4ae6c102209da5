package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/instrument"
	"github.com/jaeger-tempo/tempo/tempodb/backend/open"
	"github.com/jaeger-tempo/tempo/tempodb/backend/place"
	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// storeFlags say which object store, and how it is reached.
type storeFlags struct {
	store        string
	tenant       string
	stats        bool
	s3Endpoint   string
	s3Region     string
	s3Insecure   bool
	s3PathStyle  bool
	azureAccount string
}

const defaultTenant = "single-tenant"

func (f *storeFlags) add(flags *pflag.FlagSet, env func(string) (string, bool)) {
	get := func(names ...string) string {
		for _, name := range names {
			if v, ok := env(name); ok && v != "" {
				return v
			}
		}
		return ""
	}
	flags.StringVar(&f.store, "store", get("TEMPO_STORE"), "the object store, as `URL` (or environment TEMPO_STORE)")
	flags.StringVar(&f.tenant, "tenant", cmp.Or(get("TEMPO_TENANT"), defaultTenant), "whose blocks, by `name` (or TEMPO_TENANT)")
	flags.BoolVar(&f.stats, "stats", false, "say at the end what was asked of the store")
	flags.StringVar(&f.s3Endpoint, "s3-endpoint", get("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), "server that speaks S3, as `host:port` (or AWS_ENDPOINT_URL_S3)")
	flags.StringVar(&f.s3Region, "s3-region", get("AWS_REGION", "AWS_DEFAULT_REGION"), "`region` of the S3 bucket (or AWS_REGION)")
	flags.BoolVar(&f.s3Insecure, "s3-insecure", false, "speak to the S3 server without TLS")
	flags.BoolVar(&f.s3PathStyle, "s3-path-style", false, "put the S3 bucket's name into the path and not into the host's name")
	flags.StringVar(&f.azureAccount, "azure-account", get("AZURE_STORAGE_ACCOUNT"), "storage `account` of azblob:// (or AZURE_STORAGE_ACCOUNT)")
}

// place takes apart what --store says.
func (f *storeFlags) place() (place.Place, error) {
	if f.store == "" {
		return place.Place{}, usage("which store? Give --store=URL, or set TEMPO_STORE: a directory, gs://BUCKET/PREFIX, s3://BUCKET/PREFIX or azblob://CONTAINER/PREFIX")
	}
	p, err := place.Parse(f.store)
	if err != nil {
		return place.Place{}, usage("--store: %w", err)
	}
	return p, nil
}

// openBucket opens the store for reading. close ends it.
func (f *storeFlags) openBucket(ctx context.Context, env func(string) (string, bool)) (*instrument.Counted, func() error, error) {
	b, err := f.openStore(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	return count(readOnly{b}), b.Close, nil
}

// openStore opens the store.
func (f *storeFlags) openStore(ctx context.Context, env func(string) (string, bool)) (open.Bucket, error) {
	p, err := f.place()
	if err != nil {
		return nil, err
	}
	o := open.FromEnv(env)
	o.S3Endpoint, o.S3Region, o.S3Insecure, o.S3PathStyle, o.AzureAccount = f.s3Endpoint, f.s3Region, f.s3Insecure, f.s3PathStyle, f.azureAccount
	switch {
	case p.Scheme == place.File:
		if p.Path, err = blocksDir(p.Path); err != nil {
			return nil, err
		}
	case p.Scheme == place.Azure && o.AzureAccount == "" && o.AzureConnection == "":
		return nil, usage("--store=%s: give --azure-account, or set AZURE_STORAGE_ACCOUNT or AZURE_STORAGE_CONNECTION_STRING", f.store)
	}
	b, err := open.Open(ctx, p, o)
	if err != nil {
		return nil, storeError{err}
	}
	return b, nil
}

// count returns b with counters.
func count(b backend.Bucket) *instrument.Counted {
	return instrument.Count(b, instrument.CountOptions{
		Kind: instrument.LastElement("data", "index", "filter", "search", "summary", "meta.json"),
	})
}

// tryAgain returns b as commands ask it: late reads are asked for twice, failed ones again.
func tryAgain(b backend.Bucket) backend.Bucket {
	return instrument.Retry(instrument.Hedge(b, instrument.HedgeOptions{}), instrument.RetryOptions{Tries: 4})
}

// blocksDir returns the directory of blocks that path means: itself, or its folder blocks if it is the
// storage.path of an embedded store.
func blocksDir(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", storeError{fmt.Errorf("there is no directory %s", path)}
	case err != nil:
		return "", storeError{err}
	case !info.IsDir():
		return "", usage("--store=%s is a file; give the directory of the store", path)
	}
	if sub, err := os.Stat(filepath.Join(path, "blocks")); err == nil && sub.IsDir() {
		return filepath.Join(path, "blocks"), nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", storeError{err}
	}
	for _, e := range entries {
		if _, err := block.ParseID(e.Name()); err == nil && e.IsDir() {
			clean := filepath.Clean(path)
			return "", usage("--store=%s is the folder of one tenant: give --store=%s --tenant=%s", path, filepath.Dir(clean), filepath.Base(clean))
		}
	}
	return path, nil
}

// readOnly is a bucket in which nothing can be written or deleted.
type readOnly struct{ backend.Bucket }

var errReadOnly = errors.New("this command does not write to the store")

func (readOnly) Create(_ context.Context, name string) (backend.ObjectWriter, error) {
	return nil, fmt.Errorf("create %s: %w", name, errReadOnly)
}

func (readOnly) Delete(_ context.Context, name string) error {
	return fmt.Errorf("delete %s: %w", name, errReadOnly)
}
