# Two commands do all the set-up on a new machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_PORT ?= 8000
ONLY ?=
# Most tests wait for a server or a process.
WORKERS ?= 3

.PHONY: help setup demo test check bench lock clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(VENV)/.ready  ## create .venv with everything the demo and the tests need

$(VENV)/.ready: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: setup  ## the demo site on real servers, at DEMO_PORT
	@exec $(BIN)/python manage.py demo --port $(DEMO_PORT)

test: check  ## the checks, then every test, on WORKERS processes
	$(BIN)/python -X dev -m pytest -n $(WORKERS) tests

check: setup  ## formatting, lint, types, and the direction of the imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy poolapp
	$(BIN)/lint-imports --no-logo

bench: setup  ## compare with the peers; ONLY=core runs one part; writes benchmarks/latest.json
	$(BIN)/python -m benchmarks $(ONLY)

lock: setup  ## compile requirements.txt from pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-header \
		--no-emit-index-url --no-emit-find-links --prerelease if-necessary-or-explicit \
		pyproject.toml --output-file requirements.txt

clean:  ## stop the development servers and remove what make made
	-test -x $(BIN)/python && $(BIN)/python manage.py devservices down
	rm -rf $(VENV) .devservices .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
