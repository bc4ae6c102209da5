// Package inspect takes the objects of a block apart as docs/format.md describes them, without the code that writes and reads them: how many
// pages of which kind, how well compressed, which fields take the space of the search object, where a key's page is.
//
//	counts, _, err := inspect.Pages(ctx, bucket, meta, "data", nil)
//	fields, err := inspect.Fields(ctx, bucket, meta)
//	place, err := inspect.Find(ctx, bucket, meta, key)
//
// A page that is not what its header and checksum say is counted as damaged, and the next one looked at, as long as headers lead to it.
// Functions may be called concurrently. Who calls is program tempo-cli.
package inspect
