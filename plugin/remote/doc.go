// Package remote is the store as Jaeger's remote storage: the services of package plugin at an address, for any number of Jaegers.
//
// # Idea
//
// One port has all versions of the protocol, gRPC's health service and reflection; Jaeger asks for what it knows. A second port, if there is one, has the
// same services about the archive: Jaeger from v1.66 on takes it for a storage of its own.
//
//	server, err := remote.Listen(remote.Options{Address: "127.0.0.1:17271"})   // a port that is taken, a certificate that is wrong: told here
//	store := open()                                                             // replays its log, while who has come waits
//	err = server.Serve(store)
//	err = server.Wait(ctx)
//	server.Stop()                                                               // then the store may be closed
//
// # Promise
//
//   - With TLS, certificates that have changed hold for the next connection, and files that are wrong for none. With ClientCA nobody without a certificate
//     gets to ask anything.
//   - A client that sends or takes nothing costs little, and not for long: its calls are ended (patience.go), and what all clients together make the server hold is
//     bounded (connections.go).
//   - Stop ends within some seconds, whoever is connected.
//
// The methods of a Server are for one goroutine, but Stats may be called from any, and Stop any number of times.
package remote
