module github.com/jaeger-tempo/tempo/e2e/cluster

go 1.26
