# Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
JOBS ?= 2
# Most of what is installed is never imported: Python compiles what is.
INSTALL = $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile

BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
CODE := $(wildcard keras_koopman tests examples benchmarks tools)
# What a test may read: a change in any of it, or to the list itself, makes the tests due again.
TESTED_FILES := $(shell find $(CODE) $(wildcard docs README.md) -type f \
	\( -name '*.py' -o -name '*.md' -o -name '*.txt' -o -name '*.css' -o -name '*.html' \))
WHEEL_ENV := .make/wheel-env
SITE_PACKAGES := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'

# Bytecode is kept: all engines, and what the tests start, import the same files.
unexport PYTHONDONTWRITEBYTECODE
export TF_CPP_MIN_LOG_LEVEL ?= 2
export MPLBACKEND ?= Agg

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-torch test-backends check lint types doctest coverage wheel bench bench-check
.PHONY: format clean FORCE

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## look at one training run
	@$(BIN)/python -m keras_koopman demo

test: ## run all tests and the docstrings' examples on TensorFlow, the contract tests on JAX
	@rm -f .make/tested
	@$(MAKE) --no-print-directory .make/tested

test-torch: $(READY) ## run the contract tests on PyTorch, which is installed if need be
	@$(BIN)/python -c 'import torch' 2> /dev/null || $(INSTALL) torch
	@KERAS_BACKEND=torch $(PYTEST) -m contract

test-backends: $(READY) ## run all tests on TensorFlow, JAX and PyTorch: takes an hour
	@$(INSTALL) torch
	@for engine in tensorflow jax torch; do echo "$$engine:"; KERAS_BACKEND=$$engine $(PYTEST) || exit 1; done

check: .make/tested lint types wheel ## the tests, if they are due, and every check below
	@echo "All checks passed."

lint: $(READY) ## ruff: rules and format
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)

types: $(READY) ## mypy, strict
	@$(BIN)/mypy

doctest: $(READY) ## run the examples in the docstrings alone
	@KERAS_BACKEND=tensorflow $(PYTEST) --doctest-modules keras_koopman

coverage: $(READY) ## run all tests on TensorFlow with their lines counted: a quarter slower
	@KERAS_BACKEND=tensorflow $(PYTEST) --cov

wheel: $(READY) ## build the wheel, install it apart and use it
	@rm -rf dist build $(WHEEL_ENV) .make/empty && mkdir -p .make/empty
	@$(BIN)/python -m build --outdir dist . > .make/build.log 2>&1 || { cat .make/build.log; exit 1; }
	@$(BIN)/python -m venv --without-pip $(WHEEL_ENV)
	@$(BIN)/python -m pip --disable-pip-version-check --python $(WHEEL_ENV)/bin/python \
		install --quiet --no-index --no-deps dist/*.whl
	@# The dependencies come from .venv. A .pth inside that folder is not read: no editable install.
	@$(BIN)/python $(SITE_PACKAGES) > "$$($(WHEEL_ENV)/bin/python $(SITE_PACKAGES))/dependencies.pth"
	@cd .make/empty && ../../$(WHEEL_ENV)/bin/python -I ../../tools/wheel_smoke.py

bench: $(READY) ## measure beside peers, write docs/benchmarks.md: takes hours, goes on where it stood
	@$(INSTALL) --editable '.[bench]'
	@$(BIN)/python benchmarks/bench.py run

bench-check: $(READY) ## fail if a ratio is a quarter worse than in benchmarks/baseline.json
	@$(BIN)/python benchmarks/bench.py check

format: $(READY) ## rewrite the code in ruff's format
	@$(BIN)/ruff check --fix-only --quiet $(CODE)
	@$(BIN)/ruff format $(CODE)

clean: ## remove all that make made
	@rm -rf .venv .make .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@rm -rf build dist demo *.egg-info
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): setup.cfg pyproject.toml
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "keras_koopman needs Python 3.11 or later, got '$(PYTHON)'." \
		"Name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Making .venv: takes a few minutes the first time."
	@$(PYTHON) -m venv .venv
	@$(INSTALL) --editable '.[dev]'
	@touch $@

# The stamp bears the time at which the tests began: a file edited meanwhile is newer.
.make/tested: $(READY) .make/files $(TESTED_FILES) Makefile
	@touch .make/begun
	@KERAS_BACKEND=tensorflow $(PYTEST) --doctest-modules tests keras_koopman
	@KERAS_BACKEND=jax $(PYTEST) -m contract
	@mv .make/begun $@

.make/files: FORCE
	@mkdir -p .make
	@echo '$(sort $(TESTED_FILES))' | cmp -s - $@ || echo '$(sort $(TESTED_FILES))' > $@
