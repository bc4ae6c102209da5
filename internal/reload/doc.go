// Package reload follows a file that people change while a process runs.
//
//	f := reload.New(path, read)          // read says whether the file can be used, and has what it says used
//	_, err := f.Look()                   // at the start a file that is wrong is an error
//	stop := f.Follow(reload.Every, told) // later what it said before holds on
//
// A change is seen by what a file is: another one of that name, its size, its time of modification.
package reload
