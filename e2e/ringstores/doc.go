// Package ringstores tests rings in a real etcd, which is built from its Go module by the module in servers/.
//
// Rings in gossip and, against a double, in Consul are tested beside the code, in package ring: a real Consul can't be built from Go modules alone.
package ringstores
