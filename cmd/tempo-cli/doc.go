// Program tempo-cli looks at blocks in an object store, whichever it is, while or without a daemon writing them. It writes
// nothing there but with `gen`, whose word is in its name.
//
// # What happens, in order
//
//  1. command.go has the tree of commands, and which errors make which exit code.
//  2. bucket.go opens the object store that --store names, and refuses writing to it.
//  3. A command file (list.go, verify.go, trace.go, ...) asks package blocks, which joins the blocks of a tenant into
//     one answer; package inspect, which walks the pages of one; or package export, which says traces in the forms of others.
//  4. table.go prints: tables for people in 100 columns, JSON for programs.
//
// # Where output goes
//
// The answer goes to stdout. What is wrong with it, how far it is and what it has cost go to stderr. An answer that lacks
// something because a part of the store could not be read is printed, followed by the reason and an exit code that is not 0.
package main
