# agentmem_store. Bare `make` prints the targets. Works with GNU make 3.81.

VENV     := .venv
BIN      := $(VENV)/bin
STAMP    := $(VENV)/.ready
PEERS    := $(VENV)/.peers
PYTHONS  := python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3 /usr/local/bin/python3
ARGS     :=
WORKERS  := 4

.DEFAULT_GOAL := help
.PHONY: help setup setup-bench demo migrate migrate-down migrate-status schema test test-container lint types bench check clean

help: ## print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## make .venv with everything that development needs

# The first python3 that runs and is new enough; a version manager's shim may be there and not run.
$(STAMP): pyproject.toml constraints.txt
	@for python in $(PYTHONS); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo "error: no Python 3.11 or newer found: install python3" >&2; exit 1; fi; \
	if ! $$found -c 'import venv, ensurepip' >/dev/null 2>&1; then \
	    echo "error: $$found has no venv: install the package python3-venv" >&2; exit 1; \
	fi; \
	echo "setting up $(VENV) with $$($$found --version)"; \
	$$found -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup-bench: $(PEERS) ## the same, with the peers of the bench

$(PEERS): $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	@touch $@

demo: $(STAMP) ## start the embedded server, store a conversation, recall it
	@$(BIN)/agentmem-store demo $(ARGS)

migrate: $(STAMP) ## bring the database to the newest schema (AGENTMEM_DSN, else embedded)
	@$(BIN)/agentmem-store migrate up $(ARGS)

migrate-down: $(STAMP) ## take the newest migration back
	@$(BIN)/agentmem-store migrate down $(ARGS)

migrate-status: $(STAMP) ## show what is applied and what is pending
	@$(BIN)/agentmem-store migrate status $(ARGS)

schema: $(STAMP) ## write sql/schema.sql from a migrated database
	@$(BIN)/python -m tests.schema

# Tests wait more than they compute: four at a time, each with a server of its own, take half the time on two cores.
test: $(STAMP) ## run the tests on the embedded server
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-container: $(STAMP) ## run the tests on a container, where Docker answers
	@$(BIN)/python -m pytest --postgres=container $(ARGS)

lint: $(STAMP) ## check style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(PEERS) ## check types with mypy and pyright
	@$(BIN)/mypy
	@$(BIN)/pyright

bench: $(PEERS) ## measure, side by side with the driver's own pool (AGENTMEM_DSN, else embedded)
	@$(BIN)/python -m bench $(ARGS)

check: lint types test ## all that a change has to pass

clean: ## remove .venv and caches; never data
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage dist build
