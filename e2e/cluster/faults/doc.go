// Package faults stands between a program and an object store, and does to their requests what networks and stores do: errors before and after
// the request took effect, resets, answers cut short, silence, slowness, requests that arrive when nobody waits for them any more.
//
//	p, err := faults.New("127.0.0.1:0", server, seed)
//	p.Spoil(0.2)            // one request in five
//	p.Down(faults.Silent)   // all of them
package faults
