# Everything a newcomer runs. Each target installs what is missing first, and prints what it does.
#
#   make demo           a network of 14 real nodes on this machine: add a file, kill and wipe 8 nodes, get the file back; then
#                       fresh nodes rebuild what was lost, 8 more die, and it comes back again
#   make test           lints and the whole fast suite
#   make test-long      the slow suite: 1,000 simulated worlds of each kind, 700 kills, 4 GiB; PART=1/4 runs a quarter of it
#   make test-hostile   a real network under attack by a program of ours: every way, a minute each, in one table
#   make conformance    boto3, the AWS command, rclone, curl and Helia on a gateway of a real network (installs them),
#                       and the suite of the object_store crate
#   make simulate       networks over simulated years on the real ledger: durability, repair traffic, what cheating pays
#   make bench          what each stage costs (criterion)
#   make bench-ledger   transactions that a network of validators orders, from signature to disk: one table
#   make bench-compare  add and get beside cp, and beside Tahoe-LAFS and Garage where they are installed
#   make bench-gateway  an S3 gateway and its clients, beside the SDK, and beside Garage where it is installed: one table
#   make bench-wan      adds and gets over slow, long and lossy lines (needs the right to make network namespaces): one table
#   make keep-baseline  keeps this build's commands in target/baseline-COMMIT, for ARGS='--against DIR' of the two above
#   make check          formatting and lints alone
#   make audit          licences, sources and banned crates (cargo-deny)
#   make messages       every message of the shipped code, in target/messages.txt, to be read as a whole
#   make lines          lines of shipped code outside tests, by crate
#   make build          the two commands, in target/release
#   make aarch64        the client for 64-bit ARM, in target/aarch64-unknown-linux-gnu/release
#   make clean          deletes what was built, the compiled RocksDB too

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup rocksdb build programs demo test test-long test-hostile conformance simulate bench bench-ledger bench-compare \
        bench-gateway bench-wan keep-baseline check audit aarch64 messages lines clean

CARGO ?= cargo
export CARGO
BIN := target/release
# All packages are always selected, whichever of their programs are built: with fewer of them features differ, and most of
# the dependencies would be compiled again.
ALL := --locked --workspace

help:
	@sed -n 's/^#   //p' Makefile

# A C++ compiler for RocksDB, libclang to read its header, and Python for one test. Nothing else comes from outside cargo.
setup:
	@.ci/setup

rocksdb: setup
	@.ci/rocksdb

build: setup
	@echo "==> building ostrakon and ostrakon-node (RocksDB and all dependencies too, the first time)"
	@.ci/build

# What measures and checks, besides the commands.
programs: build
	$(CARGO) build --release $(ALL) --bins

demo: build
	@$(BIN)/ostrakon demo

# `--all-targets` leaves out targets with `test = false`, such as `hostile`, so it is named.
check: rocksdb
	@echo "==> formatting and lints"
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release $(ALL) --all-targets -- -D warnings
	$(CARGO) clippy --release $(ALL) --test hostile -- -D warnings

test: build check
	@echo "==> tests"
	$(CARGO) test --release $(ALL)

# In parts of at most 40 minutes on 2 cores: PART=1/4 to PART=4/4.
PART ?=
test-long: build aarch64
	@echo "==> the slow suite: every scenario at full size$(if $(PART), (part $(PART)))"
	OSTRAKON_LONG=1 OSTRAKON_SEEDS=1000 OSTRAKON_PART=$(PART) \
	    $(CARGO) test --release $(ALL) $(if $(PART),--test sim --test consensus --test cluster --test repair --test faults --test wan) -- --nocapture

# About an hour. Shorter, where only what breaks plainly fails: OSTRAKON_ATTACK_SECONDS=8 make test-hostile; a few attacks:
# OSTRAKON_ATTACKS=silent,votes make test-hostile. Half a core for the attacker needs root; without, it has low priority.
# A cross-compiler from Debian, and the emulator that `make test-long` runs the client in.
aarch64: setup
	@echo "==> building ostrakon for aarch64"
	@.ci/aarch64

test-hostile: programs
	$(CARGO) test --release $(ALL) --test hostile -- $(ARGS)

# The clients come from PyPI, npm and Debian; what of them is installed stays in target/conformance.
conformance: build
	$(CARGO) build --release $(ALL) --bin object-stores
	@tests/s3/run

# About a quarter of an hour, in target/simulate; for less: make simulate ARGS=--quick.
simulate: programs
	@$(BIN)/simulate $(ARGS)

bench: rocksdb
	$(CARGO) bench $(ALL) --bench proto --bench store --bench net --bench ledger --bench bounds

# About ten minutes; for less: make bench-ledger ARGS='--transfers 100000 --seconds 10', and ARGS=--help.
bench-ledger: programs
	$(CARGO) bench $(ALL) --bench ledger -- ledger/
	@$(BIN)/bench-ledger $(ARGS)

# About half an hour with both peers. Their installation is benches/compare/install-peers.sh; for less or other figures:
# make bench-compare ARGS='--sizes 64MiB --rounds 1 --only ostrakon-4-12', and ARGS=--help.
bench-compare: programs
	@$(BIN)/bench-compare $(ARGS)

# About an hour, most of it for a million keys; for less: make bench-gateway ARGS=--quick, or ARGS='--only clients', and
# ARGS=--help.
bench-gateway: programs
	@$(BIN)/bench-gateway $(ARGS)

# About forty minutes; for less: make bench-wan ARGS=--quick, or ARGS='--only "4/12, 50 ms"'.
bench-wan: programs
	@$(BIN)/bench-wan $(ARGS)

keep-baseline: programs
	@place=target/baseline-$$(git rev-parse --short HEAD); mkdir -p "$$place"; \
	    cp $(BIN)/ostrakon $(BIN)/ostrakon-node $(BIN)/bench-compare $(BIN)/bench-ledger "$$place"; \
	    echo "kept in $$place: make bench-compare ARGS='--against $$place'"

audit:
	@.ci/audit

messages: rocksdb
	@$(CARGO) run --quiet --release $(ALL) --bin house -- messages > target/messages.txt
	@echo "$$(wc -l < target/messages.txt) messages in target/messages.txt"

lines: rocksdb
	@$(CARGO) run --quiet --release $(ALL) --bin house -- lines

clean:
	$(CARGO) clean
	rm -rf .cargo
