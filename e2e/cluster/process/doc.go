// Package process starts programs, tells when they are ready, kills them with real signals and starts them again. What they print is in a file
// of their own; its end is in every error.
//
// A process that is not stopped ends with the program that started it.
package process
