// Package local is an object store in a directory: an object is a file, and its name the file's path below the directory.
//
// An object is written to a temporary file, synced, and renamed: it is visible whole or not at all, whatever
// crashes. Files of writers that crashed have names that no object can have, and are never listed.
package local
