# Every target sets up its own environment first: on a fresh clone `make demo` is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint format bench notebook lock clean

help: ## list all targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(READY) .types/medzoo ## create .venv with everything the zoo needs (about 2 minutes, once)

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Lightning MedZoo needs Python >= 3.11; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev]'
	@touch $(READY)

.types/medzoo: $(wildcard medzoo/*.py) # links all rooms into one package, because mypy cannot follow a __path__
	@mkdir -p $@ && ln -sf $(addprefix ../../,$(wildcard medzoo/*.py) models lightning_modules datamodules callbacks evaluation runtime) $@

demo: setup ## train, test and report on synthetic head CT (under ten minutes, no download)
	$(BIN)/python train.py experiment=hemexp_demo

test: setup ## run the tests, but for the slow ones (about 20 minutes)
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not slow"

test-all: setup ## run every test (about 45 minutes)
	$(BIN)/python -m pytest -n 2 --dist loadscope

lint: setup ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## fix style and format in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## compare speed with what a user would otherwise run; writes docs/benchmarks.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev,benchmarks]'
	$(BIN)/python -m benchmarks.run

notebook: setup ## rebuild and run docs/notebooks
	$(BIN)/python -m docs.notebooks.make

lock: setup ## update the versions in requirements.lock (without extras that need a separate environment)
	$(BIN)/python -m pip install --quiet uv
	echo "# Versions that all tests pass with, on Python 3.11 to 3.14: pip install -c requirements.lock ... Made by: make lock" > requirements.lock
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --extra dev --extra oracles --extra xgboost \
	  --extra export --extra benchmarks --extra parallel --extra slurm --no-emit-index-url --no-annotate --no-header >> requirements.lock

clean: ## remove the environment and caches; keeps data and outputs
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
