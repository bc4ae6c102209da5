// Package ingester takes what writers push, keeps it in a log that is fsynced before the acknowledgement, answers what readers ask of it, and
// copies it to the object store.
//
//	i, err := ingester.Start(ingester.Options{Dir: dir, Instance: "ingester-1", Blocks: bucket, Ring: member, Known: member.Known()})
//	i.Register(grpcServer)      // Unavailable until Ready
//	err = i.Wait(ctx)           // the log is replayed
//	err = i.Close()             // as good as a crash: the next Start has all that was acknowledged
//
// It is one tracedb.Store on a local directory: log/TENANT is the log of a tenant, blocks/TENANT what was cut from it. The directory is this process's
// alone; the caller sees to that. Beside them stand the files instance (whose directory this is), uploaded (which blocks were copied) and lost (until when
// answers don't count).
//
// # From the log to the object store
//
// Recent data becomes local blocks, by size and age, which are never merged here. Each is copied to the object store as it is, under the same ID
// (block.Replicate), the oldest first, tried again until it succeeds. After that it stays and answers for Options.Keep, which every answer
// says (Source.kept_for_ms), so that a reader whose list of blocks is not older than that misses nothing, and what it sees twice is merged into one.
// Then it is dropped.
//
// That a block was copied is noted in the file uploaded before the time starts to count; a process that starts counts from its start. So a block that
// was copied and has since been merged with others, or dropped by retention, is not copied again. A block that was copied without the note, in
// the moment before a crash, is recognised if it is still there, and is copied again if not: too much, rather than too little. It brings
// nothing back: what was merged of it names it as a parent, which supersedes it, or holds the same spans, which merge; and what retention
// would drop is dropped here by its age as well.
//
// # What answers are worth
//
// Source.complete is false while this ingester may lack something that it acknowledged, and an answer that turns out not to be whole while it is
// streamed ends with the status DataLoss, after everything that could be read. Both times the reader counts this ingester as failed, and may use
// what it got. It may lack something:
//
//   - if its directory is empty though the ring knew the instance (Options.Known): the disk was lost;
//   - if damage was found in its log or in a block that it had cut, and not all could be saved.
//
// From then on it counts as failed for Options.Whole: until the other replicas have long copied what they share with it to the object store. The time is in
// the file lost, goes on over restarts, and stands still while this ingester finds that the object store can't be written to.
//
// # Too much
//
// What is cut and waits for the object store is on the disk. Memory holds the index of what is not cut yet, and is bounded for all tenants together:
// beyond Options.RecentBytes the largest are cut early. Pushes are refused with ResourceExhausted and a hint when to try again while the disk has
// less free than Options.Reserve (what is left is for cutting blocks, which is what makes room), while too much waits, and where a limit of the
// tenant says so, see Limits.
package ingester
