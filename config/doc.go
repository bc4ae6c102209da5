// Package config holds the one configuration of all programs of this store, and its YAML form.
//
// # Idea
//
// The configuration is small and ours: a table of dotted keys (keys.go), each with its type, its
// default, its meaning and the field of Config it sets. Everything is made from that table: the parser,
// the effective configuration that [Print] writes, the list in a program's help ([Keys]) and
// docs/configuration.md ([Markdown]; a test keeps the page in step). A key that is not in the table
// is an error, so a misspelt key never silently means its default.
//
//	cfg, err := config.Load("tempo.yaml", os.LookupEnv)
//
// # Values
//
// A value is text: a duration is written "90s" or "1h30m", a size "64MiB" or "2GB" (powers of two with
// the i, of ten without it, a bare number is bytes). In any value, ${NAME} is replaced by an
// environment variable, ${NAME:-text} by text where the variable is unset or empty, and $$ by a dollar
// sign. The replacement happens after the YAML is parsed: a variable can fill a value, never add a key.
// A key without a value keeps its default.
//
// # Promise
//
// All problems of a file are reported at once, as *[Error], each with file, line and key and with what
// would be right. What Print writes parses back to an equal Config.
//
// Functions may be called concurrently. A Config is a plain value without locks.
package config
