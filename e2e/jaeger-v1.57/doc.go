// Package e2e holds the store against the real Jaeger v1.57, the last that loads storage plugins.
//
// Its go.mod pins that Jaeger apart from the store's own dependencies: as programs (all-in-one, collector,
// query, tracegen, hotrod; `make e2e` builds them into bin/jaeger-v1.57/), as the client of the plugin, and as
// the storage test suite that Jaeger's own backends pass. The programs under test are bin/tempo-plugin, with the whole
// store in it, and bin/tempo, of which package e2e/cluster makes a cluster behind it.
//
//   - suite_test.go: Jaeger's storage suite, through Jaeger's own client.
//   - fidelity_test.go: what goes in over each protocol comes out equal, compared with what was sent and with
//     what an all-in-one with memory storage beside it says of the same input.
//   - search_test.go: searches, lists, dependencies and archive through Jaeger's API.
//   - visible_test.go: what was acknowledged is found by the very next call.
//   - kill_test.go: kill -9 at random moments, again and again; nothing acknowledged is missing, nothing is there twice.
//   - refuse_test.go: bad configurations and bad requests, and the one clear error each of them gets.
//   - run_test.go, runcluster_test.go: `make run` and `make cluster`, as a newcomer types them.
//   - cluster_test.go: all of that with jaeger-collector and jaeger-query apart, on a cluster.
//   - chaos_test.go, soak_test.go: a cluster that breaks, and one that runs for long, while a checker (checker_test.go,
//     itself tested in checks_test.go) asks for all that was acknowledged.
//   - compose_test.go, partial_test.go: what docker/compose.yaml and docs/partial-traces.md name is there.
//
// The harness is plugin_test.go (the plugin alone, this process in Jaeger's place), allinone_test.go (a real
// all-in-one); package e2e/jaegers has a client for each protocol and spans worth sending.
package e2e
