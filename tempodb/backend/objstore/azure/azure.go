// Package azure opens object stores in Azure's blob storage.
//
//	bucket, err := azure.Open(ctx, azure.Options{Account: "acme", Key: key, Container: "traces"})
//	defer bucket.Close()
//
// Without a key the credentials are found as by Azure's own programs: the environment, a workload's or machine's
// identity, the CLI's login.
//
// A request that failed is sent a second time by the client below, whatever the retry policy above says: it can't be told not to.
// It has no claims (backend.Claimer): the client below has no way to ask for them.
package azure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/go-kit/log"
	"github.com/thanos-io/objstore/providers/azure"

	"github.com/jaeger-tempo/tempo/tempodb/backend/objstore"
)

// Options say which container, and how it is reached.
type Options struct {
	// Account is the name of the storage account, Key one of its keys.
	Account, Key string
	// ConnectionString replaces Key, and says the endpoint as well.
	ConnectionString string
	// Container is the name of the container. It must exist.
	Container string
	// Prefix is the folder inside the container that holds all objects; none if empty.
	Prefix string
	// Endpoint is the service's domain. blob.core.windows.net if empty.
	Endpoint string
	// TempDir is the folder for big objects between Create and Commit. The system's if empty.
	TempDir string
	// Tries is how often a part of a big upload is sent before it fails. 5 if zero.
	Tries int
	// Adjust may change what has no option above: other credentials, TLS, timeouts.
	Adjust func(*azure.Config)
}

// Open connects to a container. It lists once, so that a container that does not exist or may not be read is an error now.
func Open(ctx context.Context, o Options) (*objstore.Bucket, error) {
	name := "azure://" + o.Account + "/" + o.Container
	config := azure.DefaultConfig
	config.StorageAccountName, config.StorageAccountKey, config.StorageConnectionString = o.Account, o.Key, o.ConnectionString
	config.ContainerName = o.Container
	config.StorageCreateContainer = false
	config.Endpoint = cmp.Or(o.Endpoint, config.Endpoint)
	if o.Adjust != nil {
		o.Adjust(&config)
	}
	config.PipelineConfig.MaxTries = 1 // beyond the first; the client takes none for the default
	small, err := azure.NewBucketWithConfig(log.NewNopLogger(), config, "tempo", nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	config.PipelineConfig.MaxTries = int32(cmp.Or(o.Tries, 5))
	big, err := azure.NewBucketWithConfig(log.NewNopLogger(), config, "tempo", nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	b, err := objstore.New(small, objstore.Options{
		Name: name, Prefix: o.Prefix, TempDir: o.TempDir,
		Big: big, PastEnd: pastEnd, Permanent: permanent,
	})
	if err != nil {
		return nil, err
	}
	if err := b.Check(ctx); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return b, nil
}

func pastEnd(err error) bool { return bloberror.HasCode(err, bloberror.InvalidRange) }

// permanent says whether the server's answer will be the same the next time.
func permanent(err error) bool {
	var r *azcore.ResponseError
	if !errors.As(err, &r) {
		return false
	}
	switch r.StatusCode {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests, http.StatusBadRequest:
		return false
	default:
		return r.StatusCode >= 400 && r.StatusCode < 500
	}
}
