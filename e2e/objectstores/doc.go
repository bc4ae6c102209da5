// Package objectstores tests the object stores of tempodb/backend against real servers, which are built from their Go modules by the
// module in servers/: github.com/fsouza/fake-gcs-server, and github.com/versity/versitygw for S3.
//
// Conformance: each store, bare and wrapped, passes backendtest.Run. Faults: behind a proxy that answers with errors, resets
// connections, stalls and cuts bodies short, what Commit has reported as done is whole, what failed is absent or whole, and
// a read returns the right bytes or an error.
package objectstores
