// Package ring says which ingesters keep a trace, and which compactor keeps a tenant in order. It is Cortex's ring behind a small
// interface; nothing else of this project imports Cortex.
//
//	store, err := ring.OpenStore(ctx, ring.StoreConfig{Kind: ring.Memberlist, Listen: "127.0.0.1:7946", Join: peers}, logger, metrics)
//	ingesters, err := store.Watch(ctx, ring.Config{Name: "ingesters", Replication: 3})
//	err = ingesters.Batch(ctx, tokens, push)               // each token to its replicas; a write quorum has it when Batch returns
//	set, err := ingesters.ReadSet()                       // whom a reader asks
//	member, err := store.Join(ctx, config, ring.Self{...}) // an ingester's own place in the ring
//
// # Where the ring lies
//
// What processes know of each other lies in a key-value store: gossip between them (memberlist), etcd or Consul. With gossip a process is its own
// store: it listens, also if it only watches.
//
// # Quorums that overlap
//
// A write is done when more than half of a trace's replicas have it, which with zones are in different ones. A read asks all instances that are registered, wherever tokens lie now,
// and bears the failure of less than half of the replication factor among all of them. So each read meets each write in an instance, also while
// tokens move; see ReadSet. Two things make it hold while instances come and go:
//
//   - A new instance is JOINING, and no one writes to it, for Config.Settle: until every reader can be expected to know it.
//     One that comes back after it was forgotten is ACTIVE at once by its tokens, and takes no writes for as long (Member.Settled).
//   - A dead instance is forgotten, so that it no longer counts as failed, only after Config.ForgetAfter: when what it shared with another
//     instance alone has long been uploaded by that other.
//   - Fewer instances than a write has replicas are never all: those that are absent, forgotten or not known here yet, count as failed.
//
// All types may be used concurrently.
package ring
