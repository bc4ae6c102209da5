// Package tracedb keeps traces in TempoDB: one database a tenant, all of one process's.
//
// It is where the two halves meet that know nothing of each other: package trace knows what a span is, package tempodb how values are
// kept. Codec is the first as the second wants it. Store opens and creates the databases of tenants; the write path appends
// to them and the read path asks them. ServiceIs, OperationIs and Attribute say what spans are asked for in the terms that Codec lists:
//
//	shop, err := tracedb.Attribute{Key: "http.url"}.HasPrefix("https://shop/")
//	q := &index.Query{
//		Where:    index.And(shop, tracedb.OperationIs("checkout", "PlaceOrder")), // on one span
//		Start:    index.Everything,
//		Duration: index.Range{Min: int64(200 * time.Millisecond), Max: math.MaxInt64},
//	}
package tracedb
