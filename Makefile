# The front door to every habit. `make test` is what CI runs.
SHELL := /bin/bash
# /usr/sbin: nginx is there on Debian, and not in everybody's PATH.
export PATH := $(CURDIR)/target/tools/node_modules/.bin:$(PATH):/usr/sbin
export CARGO_TERM_COLOR ?= auto

MOORLINE := target/debug/moorline
# Seconds for each fuzz target.
FUZZ ?= 60
# Seconds of `make soak`.
SOAK ?= 1200
# Names the folder of a benchmark's run: bench/runs/DATE-LABEL.
LABEL ?= local
CRATES := . bench fuzz
RUN_TESTS := $(if $(shell command -v cargo-nextest 2>/dev/null),nextest run --no-fail-fast,test --no-fail-fast)

heading = @printf '\n== %s  %s\n' "$$(date +%H:%M:%S)" $(1)

.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help check test needs fmt fmt-check lint unit bench-unit count conformance kubernetes chart fuzz demo bench soak sbom

help: ## This list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

check: test ## The same as test

test: needs fmt-check lint unit bench-unit count kubernetes conformance fuzz ## All tests, the cheapest first: what CI runs

needs: ## Install what the tests need
	$(call heading,"what the tests need")
	@scripts/install-test-needs.sh

fmt: ## Format all code
	@for crate in $(CRATES); do (cd $$crate && cargo fmt) || exit 1; done

fmt-check:
	$(call heading,"format")
	@for crate in $(CRATES); do (cd $$crate && cargo fmt --check) || exit 1; done

lint: ## clippy, warnings are errors; and what may be among the dependencies (deny.toml)
	$(call heading,"clippy")
	cargo clippy --locked --all-targets -- -D warnings
	cd bench && cargo clippy --locked --all-targets -- -D warnings
	$(call heading,"dependencies")
	scripts/deny.sh

unit: ## The Rust tests, those that drive real SDK clients included
	$(call heading,"tests")
	cargo $(RUN_TESTS) --locked

bench-unit:
	$(call heading,"tests of the benchmark")
	cd bench && cargo $(RUN_TESTS) --locked

count: ## Instructions that a request costs, against those kept in bench/counts.tsv; in the tests' own build, which is there already
	$(call heading,"instructions a request")
	cargo build --locked
	cd bench && cargo build --locked && target/debug/moorline-bench count --moorline ../target/debug/moorline \
		--works json,sse,modern --peers moorline --requests 400 --slack 10 --against counts.tsv

conformance: ## The official conformance suite, directly and through Moorline
	$(call heading,"conformance")
	cargo build --locked
	tests/conformance/run-all.sh $(MOORLINE)

kubernetes: ## The chart: rendered, judged by the schemas of Kubernetes, and its Pods started as far as no cluster is needed
	$(call heading,"chart")
	cargo build --locked
	tests/kubernetes/.venv/bin/python tests/kubernetes/run.py $(MOORLINE)

chart: ## What of the chart is made from elsewhere, and the manifests that are made from it
	tests/kubernetes/install.sh
	tests/kubernetes/.venv/bin/python deploy/helm/make.py

fuzz: ## Each fuzz target for a minute; FUZZ=600 for ten
	$(call heading,"fuzz")
	fuzz/run.sh $(FUZZ)

soak: ## Honest and hostile load for 20 minutes; memory, tasks and descriptors must stay; SOAK=180 LABEL=name
	cargo test --locked --test soak -- $(SOAK) $(CURDIR)/bench/runs/$(shell date +%F)-soak-$(LABEL)

sbom: ## What the binary is made of, as CycloneDX: target/moorline.cdx.json
	scripts/sbom.py >target/moorline.cdx.json

demo: ## Three sample servers with Moorline in front of them
	cargo run --release --locked -- demo

bench: ## Measure beside nginx in one run, about 15 minutes; LABEL=name
	cargo build --release --locked
	cd bench && cargo build --release --locked && target/release/moorline-bench run --label $(LABEL)
