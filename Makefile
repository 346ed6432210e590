# Every target makes the virtual environment first, when it is missing or older than what it is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test lint type ci bench clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@

demo: $(STAMP)  ## bundled digits -> MLP -> activations -> TopK SAE -> probes -> report.html
	$(BIN)/python src/train.py experiment=quickstart

test: $(STAMP)  ## the whole test suite, on the CPU, offline
	$(BIN)/python -m pytest -n auto

lint: $(STAMP)  ## ruff: style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(STAMP)  ## pyright
	$(BIN)/pyright

ci: test lint type  ## what a change must pass

bench: $(STAMP)  ## throughput of sources and stores, beside plain references
	$(BIN)/python benchmarks/data.py
	$(BIN)/python benchmarks/store.py

clean:  ## remove the environment and caches; logs/ stays
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
