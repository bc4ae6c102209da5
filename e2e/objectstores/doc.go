// Package objectstores tests the object stores of tempodb/backend against real servers, which are built from their Go modules by the
// module in servers/: github.com/fsouza/fake-gcs-server, and github.com/versity/versitygw for S3.
//
// Conformance: each store, bare and wrapped, passes backendtest.Run. Faults: behind a proxy that answers with errors, resets
// connections, stalls and cuts bodies short, what Commit has reported as done is whole, what failed is absent or whole, and
// a read returns the right bytes or an error.
//
// Databases: a tempodb.DB and a tempodb.Reader, and traces on their way through writepath and readpath, on a store behind that proxy which is also
// killed, silent or down for a while, and in a process that is killed while it cuts and merges. Every acknowledged append is in every
// answer that is no error, whole and once; afterwards in all answers; every block verifies, and no garbage is left. The proxy also carries out
// requests that were given up long ago, as networks do.
package objectstores
