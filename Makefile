# Kith: everything a fresh Debian 12 machine needs, as root. `make` lists the targets.
#
# The Rust toolchain (1.95 or newer, with rustfmt and clippy) must be there; tests/setup says so if it is not.

CARGO ?= cargo
FUZZ_SECONDS ?= 4
BENCH_ARGS ?= all --with-boringtun
DEMO_TOPOLOGY ?= topologies/quickstart.yaml

.PHONY: help setup setup-bench build demo test interop bench lint fuzz clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

setup: ## install the Debian packages that are missing, and what interop tests use; reserve huge pages if memory allows
	@tests/setup build interop

build: setup ## build the programs: target/release/kith, kith-dataplane, kith-controller, kith-agent
	$(CARGO) build --release --locked -p kith-cli -p kith-daemon -p kith-controller -p kith-agent

demo: build ## bring up two private networks with the same addresses, take the tour, tear down
	target/release/kith lab tour $(DEMO_TOPOLOGY)

# The end-to-end tests run programs of the same build, beside them: optimised less than what `build` makes, and with every check on.
# nextest isolates tests in processes where it is installed.
test: setup ## all tests, and a short run of every fuzz target
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		set -x; $(CARGO) nextest run --workspace --locked; \
	else \
		set -x; $(CARGO) test --workspace --locked -- --test-threads=1; \
	fi
	$(MAKE) --no-print-directory fuzz

interop: build ## strongSwan against ours, with 100 rounds of every kind of rekeying (a few minutes)
	KITH_BIN_DIR=$(CURDIR)/target/release KITH_INTEROP_ROUNDS=100 $(CARGO) test --locked -p kith-tests --test strongswan -- --test-threads=1

fuzz: setup ## every fuzz target for FUZZ_SECONDS each
	@tests/fuzz/run $(FUZZ_SECONDS)

setup-bench:
	@tests/setup build bench

bench: setup-bench ## the performance table (about 15 minutes; BENCH_ARGS="all --quick" for a short one)
	$(CARGO) build --release --locked -p kith-perf -p kith-daemon -p kith-controller -p kith-agent -p kith-cli
	target/release/kith-bench $(BENCH_ARGS)

lint: setup ## rustfmt, clippy with warnings as errors, cargo-deny
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@tests/setup deny
	$(CARGO) deny --offline check bans licenses sources

clean: ## remove what was built
	$(CARGO) clean
	rm -rf tests/fuzz/target
