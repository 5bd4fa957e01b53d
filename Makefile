# Everything happens inside this clone: .venv (Python packages), .tools (unpacked servers), var (state).
.PHONY: help setup demo test test-full lint bench clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## a .venv with what the product needs to run
	@scripts/setup

demo: setup  ## start Prometheus and the control plane, show the main job on live data (Ctrl-C stops it)
	@scripts/demo

test:  ## lint and all tests, on real servers that are fetched first
	@scripts/test

test-full:  ## the same with the whole corpora and thousands of random policies
	@scripts/test --full

lint:  ## ruff, mypy, the import contract, shellcheck
	@scripts/setup dev
	@scripts/lint

bench:  ## the measurements of bench/, as ratios
	@scripts/setup dev
	@scripts/fetch_tools.py prometheus-current || scripts/fetch_tools.py prometheus
	@.venv/bin/python -m bench

clean:  ## remove what the targets above made; var/ (your data) stays
	rm -rf .venv .tools .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
