// Package parquet reads what tempo-cli exports as Parquet with DuckDB, whose library comes with its Go module: it is linked into the test, for which cgo and a
// C compiler must be there.
//
// The blocks that are exported are the workload's, of which every row is compared, and those of spans with one of everything. The queries of the
// documentation are run as they stand there.
package parquet
