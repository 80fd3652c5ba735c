# Two ways in, each from a bare clone with Python 3.11 or newer and nothing else:
#
#   make demo    install, run the whole job on the bundled model and profile, end with the path of a report
#   make test    install, run every check and every test
#
# `make help` lists the rest. PYTHON=python3.12 chooses the interpreter, PYTEST_ARGS="-x tests/unit" narrows pytest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test format lint types imports pytest browser test-long portable torture audit bench wheel methods clean

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
DEMO_RUN := runs/demo
PYTEST_ARGS ?=
# Two processes of one thread each: tiny models gain nothing from threads, and every run then has the same thread count.
# Passive threads: torch's others spin while they wait, which costs whatever else runs on the machine.
PYTEST := OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
PORTABLE_ARGS ?=
BENCH_ARGS ?=

# The first interpreter that is new enough; looked up only where .venv has to be made.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo $$python; break; fi; done)

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.installed  ## install, run the whole job, end with the path of a report
	@$(BIN)/headscope run --model demo --profile baseline --out $(DEMO_RUN)

test: lint types imports pytest  ## install, run every check and every test

format: $(VENV)/.installed-test  ## rewrite the code as the checks want it
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .
	@$(BIN)/biome check --write

lint: $(VENV)/.installed-test
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/biome ci
	@$(BIN)/bandit -q -c pyproject.toml -r headscope src training

types: $(VENV)/.installed-test
	@$(BIN)/basedpyright

imports: $(VENV)/.installed-test
	@$(BIN)/lint-imports --no-logo

pytest: $(VENV)/.installed-test browser
	@$(PYTEST) -m "not slow" $(PYTEST_ARGS)

# The page's tests need a browser. Where there is none and apt may install one, it does; elsewhere they skip.
browser:
	@if command -v chromedriver >/dev/null 2>&1; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		echo "installing chromium for the tests of the page" >&2; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
			chromium chromium-driver fonts-noto-cjk; } >/dev/null \
			|| echo "chromium could not be installed; the tests of the page will skip" >&2; \
	else \
		echo "no chromium with chromedriver here; the tests of the page will skip" >&2; \
	fi

test-long: $(VENV)/.installed-test  ## the long forms of the tests alone
	@$(PYTEST) -m slow $(PYTEST_ARGS)

portable: $(VENV)/.installed-test  ## the tests that compare numbers, on processors held down to older ones
	@$(BIN)/python -m tests.portable $(PORTABLE_ARGS)

torture: $(VENV)/.installed-test  ## kill a sweep 50 times and compare every byte
	@HEADSCOPE_TEST_KILLS=50 $(BIN)/python -m pytest tests/faults $(PYTEST_ARGS)

# No part of `make test`: without a network there is nothing to look up, and it would pass blindly.
audit: $(VENV)/.installed-test  ## look the pinned versions up among known vulnerabilities (needs a network)
	@$(INSTALL) pip-audit
	@$(BIN)/pip-audit --disable-pip --no-deps -r constraints.txt

# No part of `make test`: it takes half an hour, and rivals come from the package index.
bench: $(VENV)/.installed  ## race headscope and its rivals on this machine (BENCH_ARGS="--quick" for a trial)
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

wheel: $(VENV)/.installed-test  ## build the wheel into dist/
	@$(BIN)/python -m build --wheel --outdir dist .

methods: $(VENV)/.installed  ## write docs/methods.md anew: which score finds the heads that matter (minutes)
	@$(BIN)/python docs/methods.py $(METHODS_MODELS)

clean:  ## remove the environment and the caches (runs/ and results/ stay)
	@rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info

# A stamp file stands for a finished install, so that a second `make` installs nothing.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing headscope into $(VENV) (the first time takes a few minutes)" >&2
	@$(INSTALL) -e '.[explore]'
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing headscope and its test tools into $(VENV) (the first time takes a few minutes)" >&2
	@$(INSTALL) -e '.[test]'
	@touch $@ $(VENV)/.installed

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "headscope needs Python 3.11 or newer and found none." >&2; \
		echo "  what to do: install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
		exit 2; \
	fi
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) could not make a virtual environment." >&2; \
		echo "  what to do: install its venv module (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 2; }
