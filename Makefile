# What can be done with this repository. `make help` lists it; CONTRIBUTING.md says more.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
BIN := bin
JAEGER := $(BIN)/jaeger-v1.57
TOOLS := $(CURDIR)/$(BIN)/tools
# What the tests of e2e/jaeger-v1.57 look for before any of them runs.
ALONE := $(JAEGER)/all-in-one $(JAEGER)/tracegen
# v1.76 is the last v1. Its module has Jaeger v2 as well, which is the program `jaeger`.
LAST := $(addprefix $(BIN)/jaeger-v1.76/,all-in-one collector query jaeger)
# What a cluster needs beside the programs of this repository.
CLUSTER := $(JAEGER)/collector $(JAEGER)/query $(BIN)/objectstores/fake-gcs-server
# The tests with real programs of others, each in a module of its own.
E2E_MODULES := $(patsubst %/go.mod,%,$(wildcard e2e/*/go.mod))

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build $(JAEGER)/tracegen $(if $(JAEGER_BIN),,$(JAEGER)/all-in-one) ## Jaeger on this store, on http://localhost:16686 (CONFIG=, JAEGER_BIN=, PORTS=free, RUN_FOR=20s)
	@$(GO) build -o $(BIN)/run-jaeger ./scripts/run-jaeger
	@exec $(BIN)/run-jaeger -jaeger="$(or $(JAEGER_BIN),$(JAEGER)/all-in-one)" -tracegen=$(JAEGER)/tracegen \
		-plugin=$(BIN)/tempo-plugin -log=$(BIN)/jaeger.log -config="$(or $(CONFIG),jaeger-config/v1.57/tempo-plugin.yaml)" \
		$(if $(filter free,$(PORTS)),-free-ports) $(if $(RUN_FOR),-for="$(RUN_FOR)")

.PHONY: cluster
cluster: build $(CLUSTER) $(JAEGER)/tracegen ## Jaeger's collector and query service on three ingesters, two compactors and an object store, on http://localhost:16686 (DIR=, PORTS=free, RUN_FOR=20s)
	@$(GO) build -C e2e/cluster -o ../../$(BIN)/run-cluster ./run-cluster
	@exec $(BIN)/run-cluster -dir="$(or $(DIR),tempo-cluster)" $(if $(filter free,$(PORTS)),-free-ports) $(if $(RUN_FOR),-for="$(RUN_FOR)")

.PHONY: build
build: need-go ## every program of this repository, into bin/
	@CGO_ENABLED=0 scripts/gobuild "the programs of this repository" -trimpath -o $(BIN)/ ./cmd/...

.PHONY: test
test: need-go ## unit, property and integration tests
	@echo "==> unit, property and integration tests"
	@$(GO) test -timeout 7m ./...

.PHONY: race
race: need-go need-cc ## the same tests under the race detector
	@echo "==> tests under the race detector"
	@$(GO) test -race -timeout 20m ./...

.PHONY: lint
lint: need-go $(BIN)/tools/staticcheck $(BIN)/tools/golangci-lint ## gofmt, stale generated code, go vet, staticcheck, golangci-lint
	@echo "==> gofmt"
	@bad=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
		if [ -n "$$bad" ]; then echo "not formatted (run gofmt -w on them):"; echo "$$bad"; exit 1; fi
	@echo "==> code of .proto files"
	@$(GO) run -C tools/proto . -root ../.. -check $$(git ls-files '*.proto')
	@for m in . $(E2E_MODULES); do \
		echo "==> go vet, staticcheck and golangci-lint in $$m"; \
		(cd $$m && $(GO) vet ./... && $(TOOLS)/staticcheck ./... && $(TOOLS)/golangci-lint run ./...); \
	done

.PHONY: fuzz
fuzz: need-go ## every fuzz target, a minute each (FUZZTIME=60s, PKG=./trace/...)
	@FUZZTIME="$(FUZZTIME)" PKG="$(PKG)" GO="$(GO)" scripts/fuzz

.PHONY: e2e
e2e: need-cc build $(ALONE) $(CLUSTER) $(LAST) ## real programs: every Jaeger on the store, the storage suite, kill -9 fifty times, ... (E2E=-run=Name)
	@for m in $(E2E_MODULES); do \
		echo "==> end-to-end tests of $$m"; \
		(cd $$m && $(GO) test -count=1 -timeout 20m $(E2E) ./...); \
	done
	@$(if $(E2E),true,$(MAKE) model)

.PHONY: model
model: need-go ## both storage protocols against a model of 5,000 random traces, by 2,000 random queries (SEED=)
	@echo "==> both storage protocols against a model"
	@$(GO) test -count=1 -timeout 20m -run '^TestEveryCallAnswersAsTheModelDoes$$' ./plugin/storagev2 \
		-args -model-traces 5000 -model-queries 2000 -model-seed $(or $(SEED),1)

.PHONY: chaos
chaos: chaos-plugin chaos-database chaos-cluster chaos-remote ## everything breaks, for long, and nothing acknowledged is lost: the plugin, databases on object stores, a cluster; a thousand rude clients of the remote storage server (ROUNDS=, SEED=, FAULT_TIME=10m, CLIENTS=1000)
.PHONY: chaos-plugin chaos-database chaos-cluster chaos-remote
chaos-plugin: build $(ALONE)
	@cd e2e/jaeger-v1.57 && KILL_ROUNDS=$(or $(ROUNDS),500) KILL_SEED=$(SEED) \
		$(GO) test -count=1 -timeout 2h -v -run '^TestKilledPluginLosesNothing$$' ./...
chaos-database:
	@cd e2e/objectstores && FAULT_TIME=$(or $(FAULT_TIME),10m) \
		$(GO) test -count=1 -timeout 0 -v -run 'OnABesetStore' . -args -seed $(or $(SEED),$$RANDOM)

chaos-remote: need-go
	@REMOTE_CLIENTS=$(or $(CLIENTS),1000) $(GO) test -count=1 -timeout 0 -v ./plugin/remote
chaos-cluster: build $(ALONE) $(CLUSTER) skewed
	@cd e2e/jaeger-v1.57 && FAULT_TIME=$(or $(FAULT_TIME),10m) KILL_SEED=$(SEED) \
		$(GO) test -count=1 -timeout 0 -v -run '^TestChaos$$' .

.PHONY: soak
soak: soak-database soak-cluster ## random histories of the database against a model, crashes and kills; then a cluster under load: an hour each (SOAK=1h, SEED=)
.PHONY: soak-database soak-cluster
soak-cluster: build $(ALONE) $(CLUSTER)
	@cd e2e/jaeger-v1.57 && CLUSTER_SOAK=$(or $(SOAK),1h) $(GO) test -count=1 -timeout 0 -v -run '^TestClusterSoak$$' .
soak-database: need-go
	@SOAK=$(or $(SOAK),1h) SOAK_SEED=$(SEED) $(GO) test -count=1 -timeout 0 -v -run '^TestSoak$$' ./tempodb

.PHONY: bench
bench: need-go ## the table of numbers beside their goals (BENCH="-traces 2000" for a quick look)
	@$(GO) run ./bench $(BENCH)

.PHONY: proto
proto: need-go ## the Go code of the .proto files, here and of Jaeger's storage API v2, which is committed
	@$(GO) run -C tools/proto . -root ../.. $$(git ls-files '*.proto')

.PHONY: clean
clean: ## remove bin/ (not the traces in tempo-data/)
	rm -rf $(BIN)

# Programs of others, built from pinned modules.

$(JAEGER)/all-in-one $(JAEGER)/collector $(JAEGER)/query $(JAEGER)/tracegen: $(JAEGER)/%: | need-go
	@scripts/gobuild "Jaeger v1.57 $* (all of Jaeger takes about 3 CPU minutes the first time)" \
		-C e2e/jaeger-v1.57 -o ../../$@ github.com/jaegertracing/jaeger/cmd/$*

$(JAEGER)/hotrod: | need-go
	@scripts/gobuild "Jaeger v1.57 hotrod" -C e2e/jaeger-v1.57 -o ../../$@ github.com/jaegertracing/jaeger/examples/hotrod

$(LAST): $(BIN)/jaeger-v1.76/%: e2e/jaeger-v1.76/go.mod | need-go
	@scripts/gobuild "Jaeger v1.76 $* (all of Jaeger takes about 7 CPU minutes the first time)" \
		-C e2e/jaeger-v1.76 -o ../../$@ github.com/jaegertracing/jaeger/cmd/$*
	@touch $@

$(BIN)/objectstores/fake-gcs-server: e2e/objectstores/servers/go.mod | need-go
	@scripts/gobuild "servers of the GCS and S3 protocols (about two minutes the first time)" \
		-C e2e/objectstores/servers -trimpath -o ../../../$(BIN)/objectstores/ tool
	@touch $@

# Tempo with a clock that can be set wrong.
.PHONY: skewed
skewed: need-go
	@echo "==> building tempo with another clock, and all that it imports (about 3 CPU minutes the first time)"
	@$(GO) run -C e2e/cluster ./skewed-clock -C ../.. -o $(BIN)/skewed/tempo ./cmd/tempo

$(BIN)/tools/staticcheck: tools/go.mod | need-go
	@scripts/gobuild "staticcheck" -C tools -o ../$@ honnef.co/go/tools/cmd/staticcheck

$(BIN)/tools/golangci-lint: tools/go.mod | need-go
	@scripts/gobuild "golangci-lint (about 2.5 CPU minutes the first time)" \
		-C tools -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# One clear line for a tool that is missing.

.PHONY: need-go need-cc
need-go:
	@command -v $(GO) >/dev/null || { echo "Go is missing: install Go 1.26 or newer from https://go.dev/dl/"; exit 1; }
need-cc:
	@command -v $${CC:-gcc} >/dev/null || { echo "The race detector, and DuckDB in make e2e, need a C compiler: install gcc and g++, or set CC"; exit 1; }
