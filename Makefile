# Every verb of this repository. Bare "make" lists them.
.DEFAULT_GOAL := help
.PHONY: help demo build check test skipped race gen sim bench conform fuzz

GO ?= go
SEEDS ?= 300
KILLS ?= 50
FUZZTIME ?= 60s

help: ## list the verbs
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## run the order system end to end, with two crashes, and judge it (ARGS=--json, ARGS=--keep)
	$(GO) run ./cmd/fogbank demo orders $(ARGS)

build: ## build bin/fogbank
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags="-s -w" -o bin/fogbank ./cmd/fogbank

check: ## formatting, vet, the house rules and whether the generated code is current; no network once modules are there
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "run gofmt on:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -run 'TestLayers|TestTidy|TestReadme' .
	cd cmd/modelgen && $(GO) run . -check

test: check ## everything a change must pass; what is skipped says why
	$(GO) test ./...
	cd examples/orders && $(GO) vet ./... && $(GO) test ./...
	cd conform && $(GO) vet ./... && $(GO) test -count=1 -v ./...
	@$(MAKE) -s skipped
	@echo "test: all of it passed"

skipped: ## what the tests leave out on this machine, and why
	@command -v python3 >/dev/null || echo "skipped: functions in Python (no python3)"
	@command -v node >/dev/null || echo "skipped: functions in Node.js (no node)"
	@command -v ruby >/dev/null || echo "skipped: functions in Ruby (no ruby)"
	@command -v javac >/dev/null || echo "skipped: functions in Java (no javac)"
	@command -v gcc >/dev/null || echo "skipped: a custom runtime in C (no gcc)"
	@rustc --version >/dev/null 2>&1 || echo "skipped: a custom runtime in Rust (no rustc)"
	@command -v aws >/dev/null || echo "skipped: the order system and a session by the aws command (no aws)"
	@python3 -c 'import boto3' 2>/dev/null || echo "skipped: the order system and a session by boto3 (not installed)"
	@command -v npm >/dev/null || echo "skipped: the SDK for JavaScript and sqs-consumer (no npm)"
	@[ "$$(id -u)" = 0 ] || echo "skipped: function sandboxes as root (not root); they run in user namespaces where those are allowed"
	@[ "$$(uname)" = Linux ] || echo "skipped: function sandboxes (not Linux)"

race: ## the tests again under the race detector
	$(GO) test -race ./...

gen: ## write api/ from the models again, and the README's table
	cd cmd/modelgen && $(GO) run .
	$(GO) test -run TestReadme . -update

sim: ## seeded histories with faults and crashes: SEEDS=300, and KILLS=50 of the real binary
	$(GO) test ./relay ./sim -count=1 -seeds $(SEEDS)
	$(GO) test ./store -count=1 -run Kill -kills $(KILLS)
	cd conform && $(GO) test -count=1 -run 'Crash|Replay' -kills $(KILLS) -replayed 100000 -timeout 60m -v

bench: ## speed beside the machine's own limits; writes docs/operate/figures.md
	cd conform && $(GO) run ./bench -out ../docs/operate/figures.md

conform: ## real clients against the built binary: the Go SDK, and the aws CLI, boto3 and JavaScript where present
	cd conform && $(GO) test -count=1 -v ./...

fuzz: ## every fuzz target for FUZZTIME=60s
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	  echo "$$p $$f"; $(GO) test $$p -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x || exit 1; done; done
