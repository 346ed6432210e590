# Every target makes the virtual environment first, when it is missing or older than what it is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := .venv-peers

.DEFAULT_GOAL := help
.PHONY: help demo test test-peers lint type ci bench clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@

demo: $(STAMP)  ## bundled digits -> MLP -> activations -> TopK SAE -> probes -> report.html
	$(BIN)/python src/train.py experiment=quickstart

test: $(STAMP)  ## the whole test suite, on the CPU, offline
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

# An environment of its own, 2.4 GB. torchvision, which nnsight asks for, breaks transformers beside a CPU torch and is
# used by nothing that is compared; for the same reason overcomplete comes without its requirements.
$(PEERS)/.installed: pyproject.toml constraints.txt tests/peers/constraints.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[peers]' pytest beartype \
		-c constraints.txt -c tests/peers/constraints.txt
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps overcomplete \
		-c tests/peers/constraints.txt
	$(PEERS)/bin/python -m pip uninstall --quiet --yes torchvision
	@touch $@

test-peers: $(PEERS)/.installed  ## parity with sae-lens, dictionary-learning, sparsify and overcomplete
	$(PEERS)/bin/python -m pytest tests/peers

lint: $(STAMP)  ## ruff: style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(STAMP)  ## pyright
	$(BIN)/pyright

ci: test lint type  ## what a change must pass

bench: $(STAMP)  ## speed of sources, stores, concept scores, whole runs and training steps
	$(BIN)/python benchmarks/data.py
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/concepts.py
	$(BIN)/python benchmarks/loop.py
	$(or $(wildcard $(PEERS)/bin/python),$(BIN)/python) benchmarks/steps.py
	$(BIN)/python benchmarks/step_figures.py

clean:  ## remove the environment and caches; logs/ stays
	rm -rf $(VENV) $(PEERS) .pytest_cache .ruff_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
