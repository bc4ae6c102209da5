// Package tempodb is an embeddable database of 16-byte keys on object storage. It knows nothing of traces.
//
// What is appended is durable, and found by every query, when Append returns: entries go to a log on the local disk, which is
// fsynced and shared by concurrent callers (package wal), and to an index in memory (package index). When the log has grown enough,
// its entries are merged, sorted by key and written as an immutable block to an object store (packages block and backend);
// then that part of the log is removed. A query asks the recent data and the blocks alike.
//
// Several values may be appended under one key. What they are together is for a Codec to say: it merges them, lists their rows for
// search, and summarises them. A value that is appended twice must merge into itself, since a crash between writing a block and removing
// its part of the log leaves both; then the log's part is dropped at the next Open.
//
//	db, err := tempodb.Open(ctx, tempodb.Options{Dir: dir, Bucket: bucket, Name: "notes", Codec: codec})
//	err = db.Append(ctx, []tempodb.Entry{{Key: key, Value: value}}) // durable and visible
//	value, err = db.Get(ctx, nil, key)
//	hits, err := db.Search(ctx, &index.Query{Where: index.Equal(field, term), Start: index.Everything, Duration: index.Everything})
//
// A DB may be used by any number of goroutines; only one DB may have a directory open.
//
// A DB has its blocks for itself. Where several processes put blocks under one name, a Reader answers from them and Compactors keep them in
// order: they share the work by claims, may be killed anywhere, and delete nothing that a reader may still be asking.
//
// An answer of which a part could not be read comes with a *PartialError: everything that was readable is in it.
package tempodb
