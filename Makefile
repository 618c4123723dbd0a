# `make run` and `make test` need Python 3.11 or newer, make and the package index; nothing else.
PYTHON ?= python3
VENV ?= .venv
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
# A folder of profiles/ with a batch system, e.g. slurm or htcondor; empty is this machine.
PROFILE ?=
ARGS ?=

where = $(if $(PROFILE),--profile profiles/$(PROFILE),--cores $(CORES))
# Jobs of a killed run would go on writing.
cancel = $(if $(PROFILE),profiles/$(PROFILE)/cancel)

export PATH := $(abspath $(VENV))/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what can be made.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Snakemake loads all plugins before it reads a profile, and the one for HTCondor warns where there is
# no HTCondor. Python reads this line at its start.
quiet = import warnings; warnings.filterwarnings("ignore", "The environment variable CONDOR_CONFIG is unset")

# The marker is newer than the lock file exactly if the environment is up to date.
$(VENV)/.installed: requirements/lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": choose one with make PYTHON=...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --only-binary pythia8mc,fastjet --requirement requirements/lock.txt
	$(VENV)/bin/python -m pip install --quiet --no-deps --editable .
	@echo '$(quiet)' > "$$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/agc_pipeline_quiet.pth"
	@touch $@

.PHONY: setup
setup: $(VENV)/.installed ## Install the locked environment into .venv.

.PHONY: run
run: setup ## Run the default configuration: results/report.html.
	snakemake $(where) $(ARGS)

.PHONY: resume
resume: setup ## Go on after a run was killed; takes the same PROFILE and ARGS as run.
	$(cancel)
	snakemake $(where) --unlock $(ARGS)
	snakemake $(where) $(ARGS)

.PHONY: todo
todo: setup ## Show what is left to do; takes the same ARGS as run.
	snakemake --cores $(CORES) --dry-run $(ARGS)

.PHONY: test
test: setup ## Run the tests.
	python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

.PHONY: benchmark
benchmark: setup ## Take the speed of the histograms: results/benchmark.json.
	python benchmarks/histograms.py --json results/benchmark.json $(ARGS)

.PHONY: lint
lint: setup ## Check style, types, and the directions of imports.
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-cache
	snakefmt --check Snakefile workflow
	snakemake --lint

.PHONY: format
format: setup ## Bring the code into shape.
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

.PHONY: lock
lock: setup ## Renew requirements/lock.txt within the bounds of pyproject.toml.
	uv pip compile --quiet --universal --upgrade --python-version 3.11 --no-annotate --no-header --all-extras pyproject.toml --output-file requirements/lock.txt

.PHONY: clean
clean: ## Remove the results of the default configuration, and jobs of PROFILE that are left.
	$(cancel)
	rm -rf results .snakemake/htcondor .snakemake/slurm_logs
