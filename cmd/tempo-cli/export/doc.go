// Package export says traces in the forms of others: OTLP JSON, Jaeger's JSON, Parquet.
//
//	w, err := export.New(export.Parquet, file)
//	n, err := w.Write(data) // OTLP TracesData, any number of times
//	err = w.Close()         // the file is whole now
//
// # Forms
//
// OTLPJSON is a line for each trace, a TracesData object as OTLP's JSON encoding has it (IDs in hexadecimal, 64-bit numbers as text,
// enums as numbers). OpenTelemetry's collector reads such files with its otlpjsonfile receiver.
//
// JaegerJSON is what Jaeger's query service answers, {"data": [trace, ...]}, which its UI opens as a file. Times are microseconds there.
//
// Parquet is a table with a row for each span (see Span), for DuckDB, Spark, Trino and the like.
//
// # Memory
//
// Writers hold one trace; that of Parquet also a row group, of 100,000 spans: some 100 MB, whatever follows.
//
// A Writer is for one goroutine. Who calls is program tempo-cli.
package export
