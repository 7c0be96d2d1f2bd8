# Two commands on a fresh machine: `make figures` and `make test`.  `make` alone lists the verbs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Shells opened by the recipes find the project's own snakemake, ruff and so on first.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# A job is a process of its own: where a shell forbids bytecode, each compiles anew all that it imports, which takes longer
# than the job.
unexport PYTHONPATH VIRTUAL_ENV PYTHONDONTWRITEBYTECODE PIP_USER PIP_TARGET PIP_PREFIX
# An environment that was copied with its folder runs the code of the folder it is from: it is made anew.
ifneq ($(shell cat "$(READY)" 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif
# A test process for each core; tests of a file share one, and its fixtures.
TESTS := pytest --dist loadfile --no-loadscope-reorder --numprocesses logical

.PHONY: help setup figures report test test-slurm quick lint format bench dry status prune clean lock

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

# uv comes first, from the lock and with its hash; it then installs everything else in seconds.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, and '$(PYTHON)' is older: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	awk '/^[^ ]/ {keep = /^uv==/} keep' requirements.txt > $(VENV)/uv.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@printf %s "$(CURDIR)" > $@

setup: $(READY) ## set up .venv, and nothing else

figures: $(READY) ## set up, then make every figure and the claims from the embedded data (minutes)
	snakemake

report: $(READY) ## the same, and pages that open anywhere: results/report.html and explorer.html
	snakemake all report

test: $(READY) ## set up, then run the test suite (ten minutes on 2 cores)
	$(TESTS) -m "not slurm"

# They wait more than they compute, so all of them run at once.
test-slurm: $(READY) ## what a cluster does to jobs, on a real SLURM that this starts (root; packages slurm-wlm and munge)
	$(TESTS) --numprocesses 7 -m slurm tests/slurm

quick: $(READY) ## tests that start no Snakemake, train nothing to its end and draw little (two minutes)
	$(TESTS) -m "not workflow and not slow"

lint: $(READY) ## ruff, snakefmt, the order of imports and mypy; changes nothing
	ruff check
	ruff format --check
	snakefmt --check --compact-diff Snakefile workflow
	lint-imports --no-logo
	mypy

format: $(READY) ## let ruff and snakefmt rewrite the code
	ruff check --fix
	ruff format
	snakefmt Snakefile workflow

bench: $(READY) ## ratios of speed, each measured in one run
	python -m benchmarks

dry: $(READY) ## what snakemake would do, without doing it
	snakemake --dry-run

status: $(READY) ## how far a sweep is, as a table (CONFIG=config/config.yaml)
	@relative-stability status $(or $(CONFIG),config/config.yaml)

prune: $(READY) ## list results that no config refers to (DELETE=yes deletes them)
	relative-stability prune $(if $(filter yes,$(DELETE)),--delete) config/*.yaml

clean: ## remove the environment and caches; results stay
	rm -rf $(VENV) .import_linter_cache .snakemake .mypy_cache .pytest_cache .ruff_cache build src/*.egg-info

lock: $(READY) ## resolve the newest versions into requirements.txt, with hashes and without addresses
	uv pip compile pyproject.toml --quiet --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header --upgrade --output-file requirements.txt
