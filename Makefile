# Set-up needs nothing but Python 3.11 to 3.13 and a package index; everything is installed into .venv from hash locks.
PYTHON ?= python3
BIN := .venv/bin
UV ?= uv
PORT ?= 3000
YEARS ?= 1
# One more than cores: the longest tests wait for daemons most of their time.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST_ARGS ?= -n $(WORKERS) --dist worksteal
LOCK := $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate

.PHONY: install install-dev demo test lint check ui screenshots bench soak lock clean

install: .venv/.runtime

install-dev: .venv/.dev

.venv/.python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"expected Python 3.11 to 3.13, found {v[0]}.{v[1]}: run make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	@touch $@

# The locks are complete, so pip need not resolve anything: --no-deps.
.venv/.runtime: .venv/.python requirements/runtime.lock pyproject.toml
	@echo "installing requirements/runtime.lock into .venv: 1.6 GB, one to three minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/runtime.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

.venv/.dev: .venv/.runtime requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.lock
	@touch $@

demo: install
	$(BIN)/sleevegraph demo

test: install-dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit -q -r -ll -ii -s B608 assets checks commands definitions.py jobs profiles resources sensors sleevegraph

check:
	.ci/run

ui: install
	DAGSTER_HOME="$(CURDIR)/dagster_home" $(BIN)/dagster dev -h 127.0.0.1 -p $(PORT) -w workspace.yaml

# Needs Chromium; some two minutes.
screenshots: install-dev
	$(BIN)/python -m docs.screenshots

bench: install-dev
	$(BIN)/python -m bench.ratings
	$(BIN)/python -m bench.engines
	$(BIN)/python -m bench.tournament
	$(BIN)/python -m bench.metas
	$(BIN)/python -m bench.ingest --memory

# Simulated years through the real daemon, with a clock that it moves; needs Linux and Debian's faketime.
soak: install-dev
	$(BIN)/python -m tests.soak --years $(YEARS)

# Needs uv, here only; what it writes names no index.
lock:
	$(LOCK) --extra build -o requirements/runtime.lock
	$(LOCK) --extra build --extra dev -c requirements/runtime.lock -o requirements/dev.lock
	$(LOCK) --extra build --extra cluster -c requirements/dev.lock -o requirements/cluster.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
