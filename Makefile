# make demo · make test · make bench: each sets up what it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS ?= cpu,demo,train,dev
PIP := $(BIN)/pip --disable-pip-version-check --quiet
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM := false

.PHONY: help setup demo serve test test-slow bench lint clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt "torch==2.13.0"
	# DeepSpeed builds its wheel with the torch that is there; in a build of its own pip would fetch another, with CUDA.
	$(PIP) install -c constraints.txt setuptools wheel ninja
	$(PIP) install -c constraints.txt --no-build-isolation deepspeed
	$(PIP) install -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

setup: $(VENV)/.ready  ## create the environment

demo: setup  ## re-index samples/ into demo-edition/ and say where the report is
	$(BIN)/kartoteka reindex samples --edition demo-edition

serve: demo  ## serve demo-edition/ at http://127.0.0.1:8000
	$(BIN)/kartoteka serve --edition demo-edition

test: setup  ## the tests (under 15 minutes)
	$(BIN)/python -m pytest

test-slow: setup  ## the proofs that take minutes
	$(BIN)/python -m pytest -m slow

bench: setup  ## measure, beside peers, in one run
	$(PIP) install -c constraints.txt -e ".[bench]"
	$(BIN)/python -m bench

lint: setup  ## style
	$(BIN)/ruff check .

clean:  ## remove the environment and what the demo made
	rm -rf $(VENV) demo-edition
