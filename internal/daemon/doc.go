// Package daemon is what every program that runs on needs, whatever it does: flags and errors (Command, Report), log lines (Log), an
// admin server with a status page (Admin), the right to a directory (Lock), signals (UntilStopped).
//
//	log := daemon.NewLog(cfg.Logging.Level, os.Stderr)
//	admin := daemon.NewAdmin("ingester", cfg, log)
//	admin.Handle("Ring", "/ring", ring)                 // before Listen
//	err := admin.Listen()                               // answers from the start; /ready is 503
//	lock, err := daemon.LockDir(cfg.Storage.Path, log)
//	...
//	admin.Ready(nil)
//
// An Admin and a Log may be used concurrently.
package daemon
