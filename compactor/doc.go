// Package compactor keeps the blocks of all tenants of an object store in order: a tempodb.Compactor for each, as tenants come and go. It is the third
// path beside those that write and read, and neither of them needs it to be right: only to stay small.
//
//	c, err := compactor.New(compactor.Options{Bucket: bucket, Codec: tracedb.Codec{}, Owner: owner, Retention: retention})
//	c.Run(ctx)                          // until ctx ends; what is under way is given up, and done by another
//
// # Any number of compactors
//
// All processes look at all tenants. Merges are shared by claims, which are objects in the store: each job is for who claims it first, so that a
// tenant's backlog is worked on by as many processes as there are. On a store without claims a job is done by the process that Owner gives it
// to. Retention, deletion and the tenant's index of blocks are for the owner of the tenant.
//
// Owner may change its mind at any time, and two processes may both think that they own something: work is done twice then, which costs
// time and harms nothing (package tempodb says why).
//
// It knows no ring: Owner is a function. It does not know what a trace is either: Codec does.
package compactor
