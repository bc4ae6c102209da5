// Package jaegers holds the store against every Jaeger in use, as real programs, each with the configuration from jaeger-config that its users get:
// v1.57 with the plugin, v1.57 and v1.76 with `tempo-plugin serve` by remote storage v1, and Jaeger v2 with the same by remote storage v2.
//
//   - agree_test.go: the same spans go into all four, over every protocol that each takes, and all four must give the same answers to every question
//     of their HTTP APIs; those that were sent for.
//   - tenants_test.go, archive_test.go: two tenants, and archived traces that outlive retention, in each of the four.
//   - tokens_test.go: tenants that are known by bearer tokens.
//   - cluster_test.go: a cluster behind v1.57 with plugins, and behind v2 with a server.
//   - durable_test.go: nothing is lost where Jaegers are known to lose it.
//
// The harness is jaegers_test.go (a Jaeger and what it needs behind it), answers_test.go (what its API says, in a form that can be compared). Packages
// samples and receivers are shared with the tests of e2e/jaeger-v1.57: spans worth sending, and the ways to send them. `make e2e` builds all programs.
//
// The module has Go packages of Jaeger v1.57 for that, and of later Jaegers only the programs, which e2e/jaeger-v1.76 pins: one module can't have two.
package jaegers
