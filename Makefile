# Runwell's entry points. `make up` runs it, `make test` tests it; each does all its own set-up.
# Variables: PYTHON (3.11 or newer), FIRST_RUN=0 (no first run on an empty store), ARGS (flags for `runwell up`),
# PEERS_PYTHON (other trackers' interpreter, for `make bench`).

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := runwell trainer diagnostics dashboard

.DEFAULT_GOAL := help
.PHONY: help up test soak bench check lint format types docs browser clean constraints

help:
	@echo "make up      install into .venv and start Runwell on http://127.0.0.1:8420"
	@echo "make test    install into .venv and run every test, those in a browser included"
	@echo "make soak    faults on purpose, one after the other: what is held, what is lost (SECONDS=20 each)"
	@echo "make bench   ours beside other trackers in one table, and how ours grows (PEERS_PYTHON=PATH: an interpreter that has them)"
	@echo "make check   format, lint and types, then the tests"
	@echo "make docs    write the generated pages under docs/ again"
	@echo "make clean   remove .venv and caches (runs and data stay where they are)"

up: $(VENV)/.up
	@exec $(BIN)/runwell up $(if $(filter 0,$(FIRST_RUN)),--no-first-run) $(ARGS)

# A file of tests goes to one core as a whole: what its tests share (a server, a page, a database) is made once.
test: $(VENV)/.test browser
	@$(BIN)/python -m pytest -n auto --maxprocesses=4 --dist=loadfile $(ARGS)

# Longer forms of the fault tests and of the API's fuzz; SECONDS is how long each fault's stream of steps goes on.
SECONDS ?= 20
soak: $(VENV)/.test
	@$(BIN)/python -m benchmarks.soak --seconds $(SECONDS) $(ARGS)
	@FUZZ_EXAMPLES=$$(( $(SECONDS) * 10 )) $(BIN)/python -m pytest tests/dashboard/api/test_fuzz.py tests/runwell/test_run_fuzz.py

# The peers are never installed here: an environment of their own has them, and the table says how to make one.
bench: $(VENV)/.test
	@$(BIN)/python benchmarks/bench.py $(if $(PEERS_PYTHON),--peers-python $(PEERS_PYTHON)) $(ARGS)

check: lint types test

lint: $(VENV)/.test
	@$(BIN)/ruff format --check -q . && $(BIN)/ruff check -q .

format: $(VENV)/.test
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

types: $(VENV)/.test
	@$(BIN)/mypy

docs: $(VENV)/.test
	@$(BIN)/python docs/generate.py

# Browser tests drive Debian's Chromium; nothing else is ever downloaded.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing chromium for the browser tests ..."; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	      chromium fonts-dejavu-core >/dev/null; \
	  else \
	    echo "The browser tests need Chromium. Install it as root: apt-get install chromium fonts-dejavu-core"; exit 1; \
	  fi; }

# Debian's python3 may come without ensurepip: then pip is put into the environment from outside.
$(BIN)/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Runwell needs Python 3.11 or newer; found: $$("$(PYTHON)" --version 2>&1). Try: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Making $(VENV) with $$("$(PYTHON)" --version) ..."
	@"$(PYTHON)" -m venv $(VENV) >/dev/null 2>&1 || { \
	  rm -rf $(VENV); "$(PYTHON)" -m venv --without-pip $(VENV) && \
	  "$(PYTHON)" -m pip --python $(BIN)/python install -q pip; }

$(VENV)/.up: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Runwell (under a minute with a fast connection) ..."
	@$(PIP) install -q -c constraints.txt -e '.[server,trainer]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Runwell with its test tools ..."
	@$(PIP) install -q -c constraints.txt -e '.[server,trainer,test]'
	@touch $@ $(VENV)/.up

constraints: $(VENV)/.test
	@{ sed -n '1,2p' constraints.txt; $(PIP) freeze --exclude-editable | grep -v -i -E '^(pip|setuptools)==' | \
	  sed -E 's/^(torch==[0-9.]+).*/\1/'; } > constraints.new && mv constraints.new constraints.txt

clean:
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
