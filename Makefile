# What one does with pgherd, one target each. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

# The demo's build: `release`, or `dev` for a quicker build of a slower proxy.
PROFILE ?= release
# 1: the demo ends by itself, with an exit status.
ONCE ?=
# How many shards the demo's second cluster has; none without it.
SHARDS ?=
# More arguments for the program behind `make demo` and `make bench`, as in ARGS='--quick'.
ARGS ?=
# How many cases `make fuzz` gives each property, and for how long it runs each target.
CASES ?= 100000
FUZZ_SECONDS ?= 60

profile_dir = target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
nextest = $$(deploy/cargo-tool.sh cargo-nextest) nextest run
nextest_profile = $(if $(CI),--profile ci,)

# The majors of `make test-versions`, and what is run against each: whatever speaks to Postgres.
MAJORS ?= 13 14 15 16 17 18
values = package(pgherd-types) | package(pgherd-sharding) | test(builtins::every)
core = test(twin::) | test(state::) | test(misbehaving::) | test(cancel::) | test(leaks::) | $(values)
# The part of it that `make test` runs, against the oldest and the newest.
core_short = test(/^twin::.*in_transaction_mode$$/) | test(twin::startup::) | test(state::) | $(values)
# Tests with a Postgres of npm's, by major version.
on_version = PGHERD_PG_BIN=$$(deploy/postgres-versions.sh $(1)) $(nextest) -p pgherd-integration -p pgherd-types -p pgherd-sharding $(nextest_profile)


.PHONY: help demo build test doctest unit test-versions versions drivers drivers-upstream bench chaos fuzz lint docs web web-test

help: ## List these targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: packages-demo web ## Start a whole fleet from nothing, until Ctrl-C (ONCE=1: show it and end; SHARDS=3: shards, too).
	cargo build --profile $(PROFILE) -p pgherd-proxy -p pgherd-control -p pgherd-demo
	@$(profile_dir)/pgherd-demo $(if $(filter 1,$(ONCE)),--once,) $(if $(SHARDS),--shards $(SHARDS),) $(ARGS)

build: packages-build web ## Build every program and test, for development.
	cargo build --workspace --all-targets

test: packages-test web-test doctest unit versions drivers ## Run every test.

doctest: build
	cargo test --workspace --doc --quiet

unit: packages-test build ## Run the Rust tests, those with real servers included.
	$(nextest) --workspace $(nextest_profile)

versions: packages-test build ## Run the twin test and session state against Postgres 13 and 18.
	$(call on_version,13) -E '$(core_short)'
	$(call on_version,18) -E '$(core_short)'

test-versions: packages-test build ## Run all tests that speak to Postgres against MAJORS (13 to 18).
	for major in $(MAJORS); do echo "=== Postgres $$major"; $(call on_version,$$major) -E '$(core)'; done

drivers: packages-test build ## Run the drivers' suites directly and through the proxy.
	deploy/node.sh tests/drivers/run.sh

drivers-upstream: packages-test build ## Run drivers' own test suites directly and through the proxy, and compare.
	tests/drivers/upstream/run.sh $(ARGS)

bench: packages-bench ## Compare with Postgres alone, PgBouncer and HAProxy (ARGS=--quick: 3 minutes).
	cargo build --release -p pgherd-proxy -p pgherd-bench
	target/release/pgherd-bench $(ARGS)
	target/release/pgherd-bench --sharding $(filter --quick,$(ARGS))

chaos: packages-test build ## Run the whole chaos suite (ARGS='-E "test(reset)"'; PGHERD_CHAOS_SEED=n).
	$(nextest) --profile chaos -p pgherd-chaos $(ARGS)

fuzz: packages-build ## Give each property CASES random cases and each fuzz target FUZZ_SECONDS (ARGS=TARGET).
	PROPTEST_CASES=$(CASES) $(nextest) --profile fuzz -p pgherd-wire -p pgherd-auth
	FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run.sh $(ARGS)

lint: packages-build ## Formatting, clippy, licences, bans, sources, and the types of the dashboard.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	$$(deploy/cargo-tool.sh cargo-deny) --all-features check bans licenses sources
	@deploy/web.sh lint

docs: packages-build ## Write the references in docs/ anew, and the Rust documentation.
	UPDATE_EXPECT=1 $(nextest) -p pgherd-config -p pgherd-api
	cargo doc --workspace --no-deps

web: ## Build the dashboard, where Node.js can be had.
	@deploy/web.sh build

web-test: web
	@deploy/web.sh test

packages-%:
	@deploy/packages.sh $*
