# Two commands to start: `make demo` and `make test`. Both set up .venv on their own.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROVERS := $(VENV)/.provers
WORKERS ?= 2
PYTHON ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-all test-netlist faults prove lint clean distclean setup

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' Makefile | while read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

setup: $(READY) ## .venv with the exact packages of constraints.txt

demo: $(READY) ## train a network on the generated engine and compare every word
	@$(BIN)/gradloom demo

test: lint ## everything but the slow tests
	@$(BIN)/pytest -n $(WORKERS) -m "not slow"

test-all: lint ## every test
	@$(BIN)/pytest -n $(WORKERS)

faults: $(READY) ## plant every fault of tests/fault_list.py in a copy of the hardware; each must be caught
	@$(BIN)/python tests/faults.py --json build/faults.json

prove: $(PROVERS) ## every proof of prove/table.py, and each with its faults planted, by SymbiYosys
	@$(BIN)/python tests/proofs.py --jobs $(WORKERS) --json build/proofs.json

test-netlist: $(READY) ## twenty engine cases on the netlist that is synthesised for an ECP5
	@$(BIN)/python tests/netlist_player.py --json build/netlist.json

lint: $(READY) ## ruff, mypy and who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

clean: ## remove everything generated
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

distclean: clean ## and the Python environment
	rm -rf $(VENV)

# Tools are looked for first, so that a missing one is the only thing said.
$(READY): constraints.txt pyproject.toml
	@missing=; \
	for tool in g++ make perl; do command -v "$$tool" > /dev/null || missing="$$missing $$tool"; done; \
	python=; \
	for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	    if command -v "$$candidate" > /dev/null && \
	       "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then \
	        python=$$candidate; break; \
	    fi; \
	done; \
	if [ -z "$$python" ]; then missing="$$missing python3(>=3.11)"; fi; \
	if [ -n "$$missing" ]; then \
	    echo "gradloom needs, and this machine lacks:$$missing; install with the system's package manager" >&2; exit 1; \
	fi; \
	if [ ! -x $(BIN)/python ]; then \
	    echo "setting up $(VENV), once, with $$("$$python" --version) (minutes) ..."; \
	    "$$python" -m venv $(VENV) || \
	        { echo "$$python cannot make virtual environments; on Debian and Ubuntu install python3-venv" >&2; exit 1; }; \
	fi
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt setuptools
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $@

$(PROVERS): $(READY)
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev,prove]'
	@touch $@
