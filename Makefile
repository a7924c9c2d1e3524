# The commands that a person uses. Each one first makes what it needs, and is quick when nothing changed.
# ARGS goes to the program: make demo ARGS="--demo-vms 4", make test ARGS="-k token".

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check
NOVNC := novnc_static/node_modules/.package-lock.json
RUNTIME := .venv/.made-runtime
DEV := .venv/.made-dev

INSTALL := Install it with:  sudo apt-get install -y npm python3-venv
UV := uv==0.13.9
COMPILE := $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --strip-extras --custom-compile-command "make lock"

.PHONY: help venv demo lint test test-full bench bench-full soak docs lock clean parts

help:  ## list these commands
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 16

venv: $(RUNTIME) $(NOVNC)  ## prepare .venv with the program and what it needs to run

demo: venv  ## open made-up machines in the browser
	$(BIN)/consoleproxy demo $(ARGS)

lint: $(DEV) $(NOVNC)  ## check style, types, the Dockerfile, the page's syntax and the documents
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile
	find novnc_static -name node_modules -prune -o -name '*.js' -print0 | xargs -0 -r -n1 node --check
	$(BIN)/python docs/check.py

test: $(DEV) $(NOVNC) parts  ## run the tests
	$(BIN)/pytest -m "not slow" $(ARGS)

test-full: $(DEV) $(NOVNC) parts  ## run the slow tests: real machines, browsers, long runs
	$(BIN)/pytest -m slow $(ARGS)

bench: $(DEV) parts  ## measure the relay beside others, the short version: under 5 minutes
	$(BIN)/python -m bench run --short $(ARGS)

bench-full: $(DEV) parts  ## measure everything, over an hour on a quiet machine (see bench/README.md)
	$(BIN)/python -m bench run $(ARGS)

soak: $(DEV) parts  ## sessions come and go for ten minutes: does anything grow?
	$(BIN)/python -m bench soak $(ARGS)

docs: venv  ## write the settings into README.md and check the documents' links
	$(BIN)/python docs/check.py --write

lock: $(BIN)/pip  ## resolve the lock files anew; ARGS=--upgrade takes newer versions
	$(PIP) install '$(UV)'
	$(COMPILE) $(ARGS) -o requirements-build.txt --group build
	$(COMPILE) $(ARGS) -o requirements.txt pyproject.toml
	$(COMPILE) $(ARGS) -o requirements-dev.txt pyproject.toml --extra test --extra lint --extra bench --group build \
		-c requirements.txt -c requirements-build.txt
	cd novnc_static && npm install --package-lock-only --ignore-scripts

clean:  ## remove everything that these commands made
	rm -rf .venv bench/.build novnc_static/node_modules dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -prune -exec rm -rf {} +

parts:
	@tests/install_parts.sh

$(BIN)/pip:
	@command -v npm >/dev/null && $(PYTHON) -c "import ensurepip, venv" \
		|| { echo "npm or python3-venv is missing. $(INSTALL)" >&2; exit 1; }
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
		|| { echo "Python 3.11 is needed; $(PYTHON) is $$($(PYTHON) -V). $(INSTALL)" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# pip would fetch the build tools unchecked; ours lie aside, so that the program's own packages stay alone.
$(RUNTIME): requirements.txt requirements-build.txt pyproject.toml | $(BIN)/pip
	$(PIP) install --require-hashes -r requirements.txt
	$(PIP) install --require-hashes -r requirements-build.txt --target .venv/build --upgrade
	PYTHONPATH=.venv/build $(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

$(NOVNC): novnc_static/package.json novnc_static/package-lock.json novnc_static/.npmrc
	@command -v npm >/dev/null || { echo "npm is missing. $(INSTALL)" >&2; exit 1; }
	cd novnc_static && npm ci --ignore-scripts
	@touch $@
