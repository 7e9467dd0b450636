# visuomotor: `make demo` and `make test` need Python 3.11 or newer, make, and what pip needs.
#
#   PYTHON      the interpreter the environments are made with
#   TORCH_ARGS  extra arguments for installing PyTorch, for instance
#               --index-url https://download.pytorch.org/whl/cpu
#   DEMO_ARGS, PYTEST_ARGS   handed on
#
# Everything is named relative to this folder, so that its own path may contain spaces.

ifndef PYTHON
# The first of these that runs and is new enough: a name on the PATH alone proves neither.
PYTHON := $(shell for p in python3.11 python3 python3.12 python3.13 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& echo "$$p" && break; done)
endif

TORCH_ARGS ?=
DEMO_ARGS ?=
# A worker for each core, up to four: each takes memory, and trainings in tests take one thread.
PYTEST_ARGS ?= --numprocesses=auto --maxprocesses=4

# Windows' environments call their programs' folder Scripts.
BIN := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
DEMO := .venv/$(BIN)
TEST := .venv-test/$(BIN)
INSTALLED_FROM := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format docs clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1: /p' Makefile | while IFS=: read -r name text; do \
		printf '  make %-8s%s\n' "$$name" "$$text"; done

demo: .venv/.installed ## make the environment .venv and focus a built-in stack
	$(DEMO)/visuomotor demo $(DEMO_ARGS)

test: lint ## every check and test, in an environment of its own (.venv-test)
	$(TEST)/python -m pytest $(PYTEST_ARGS)

lint: .venv-test/.installed ## style, types, and which layer imports which
	$(TEST)/ruff check
	$(TEST)/ruff format --check
	$(TEST)/mypy
	$(TEST)/lint-imports

format: .venv-test/.installed ## put the code in shape
	$(TEST)/ruff check --fix
	$(TEST)/ruff format

docs: .venv-test/.docs ## the documentation, into site/
	$(TEST)/mkdocs build --strict

clean: ## remove what was built; runs/ stays
	rm -rf .venv .venv-test build dist site .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so that an installation that broke off is taken up again.
# torch comes first and alone: its TORCH_ARGS may name an index that has nothing else.
# The package is installed editable: after a change to the code there is nothing to install again.
# (A test builds the wheel and looks that nothing is missing from it.)
# Of the third, packages that are needed for one file in them, come without what they depend on.
define install
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found; make PYTHON=/path/to/it"; exit 1; }
	"$(PYTHON)" -m venv $(1)
	$(1)/$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt $(TORCH_ARGS) torch
	$(1)/$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e "$(2)"
	$(if $(3),$(1)/$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt --no-deps $(3))
	@touch $@
endef

.venv/.installed: $(INSTALLED_FROM)
	$(call install,.venv,.)

.venv-test/.installed: $(INSTALLED_FROM)
	$(call install,.venv-test,.[test],brisque)

.venv-test/.docs: .venv-test/.installed
	$(TEST)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[docs]"
	@touch $@
