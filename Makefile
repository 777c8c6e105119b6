# Everything goes into .venv, which is made on first use and renewed when pyproject.toml changes.
# pip 25.1 is the first that installs dependency groups.
# Needs make and Python 3.11 or newer. .venv keeps its interpreter; for another one:
# make clean test PYTHON=python3.13

PYTHON ?= python3
ARGS   ?=
BIN    := .venv/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test test-quick check clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.project ## Serve two plugins to three users, with a page to look at. ARGS="--port 9000"
	$(BIN)/gateway demo $(ARGS)

test: .venv/.dev ## Run all tests. ARGS="-x -k storage"
	$(BIN)/python -m pytest $(ARGS)

test-quick: .venv/.dev ## Tests for while you work: about a minute, no browser, proxy or PostgreSQL.
	QUICK=1 $(BIN)/python -m pytest -r fE $(ARGS)

check: .venv/.dev ## Formatting, lint, types and import layers.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean: ## Remove .venv.
	rm -rf .venv

.venv/.project: pyproject.toml | $(BIN)/activate
	$(PIP) --upgrade 'pip>=25.1'
	$(PIP) --editable .
	@touch $@

# The last file that venv writes. To run venv again with another interpreter would mix the two.
$(BIN)/activate:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Python 3.11 or newer is needed: make PYTHON=python3.12 …' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo 'This Python cannot make virtual environments.' \
			'On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.dev: .venv/.project
	$(PIP) --group dev
	@touch $@
