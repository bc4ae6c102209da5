// Package local is a backend.Bucket on a directory.
//
// An object is a file of its name. While it is written, it is a file beside that place whose name begins
// with ".tmp-", which no method shows. Commit syncs the file, renames it, and syncs the folder (and those
// above, if they are new), so that after a crash an object is there whole, or not. What a crash leaves of
// unfinished objects, RemoveStale removes.
//
// Files are opened once and kept open, up to 512 of them, for ReadAt and Size; the least recently used is
// closed first, and none while it is read. Files have mode 0600 and folders 0700. Folders without objects
// are removed.
//
// All methods of Bucket may be called concurrently. Several processes may use the directory: an object that
// another one deletes or replaces may be read here as it was for a second more, or while it is being read.
package local
