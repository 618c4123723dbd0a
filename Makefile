# `make run` and `make test` need Python 3.11 or newer, make and the package index; nothing else.
PYTHON ?= python3
VENV ?= .venv
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
# A folder of profiles/ with a batch system, e.g. slurm or htcondor; empty is this machine.
PROFILE ?=
ARGS ?=
# Optional parts of the package, all but the tools of development.
EXTRAS = simulation xrootd servicex cluster learning tracking matrix facility

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

# uv installs several times faster than pip. Where there is no wheel of it, or it does not reach the
# index that pip is configured for, pip does the same. Both compile what they install: where Python is
# told not to keep its bytecode, each job would compile all that it imports, which takes longer than
# most of them.
install = uv pip install --quiet --compile-bytecode --python $(VENV)/bin/python --require-hashes --requirement $(1) || $(VENV)/bin/python -m pip install --quiet --require-hashes --only-binary pythia8mc,fastjet --requirement $(1)
count = $$(grep -c == $(1))

# A marker is newer than the lock file exactly if the environment is up to date.
$(VENV)/.run: requirements/run.txt requirements/build.txt requirements/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "error: Python 3.11, 3.12 or 3.13 is needed, this is " + sys.version.split()[0] + ": choose one with make PYTHON=...")'
	@echo "Installing $(call count,requirements/run.txt) packages into $(VENV): some 300 MB to download, 1 GB on disk, about a minute."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --require-hashes --requirement requirements/build.txt
	@command -v uv >/dev/null || $(VENV)/bin/python -m pip install --quiet --require-hashes --only-binary :all: --requirement requirements/uv.txt || echo "uv cannot be installed here: pip takes its place, which takes longer"
	@$(call install,requirements/run.txt)
	@$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(VENV)/bin/python -m compileall -q src
	@echo '$(quiet)' > "$$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/agc_pipeline_quiet.pth"
	@touch $@

$(VENV)/.all: $(VENV)/.run requirements/all.txt
	@echo "Installing all optional packages into $(VENV): $(call count,requirements/all.txt) in all, 1.5 GB on disk."
	@$(call install,requirements/all.txt)
	@touch $@

$(VENV)/.development: $(VENV)/.run requirements/development.txt
	@echo "Installing all optional packages and tools of development into $(VENV): $(call count,requirements/development.txt) in all, 1.9 GB on disk."
	@$(call install,requirements/development.txt)
	@touch $@

# Snakemake submits to a batch system by a plugin, which is an optional package.
run_environment = $(VENV)/$(if $(PROFILE),.all,.run)

.PHONY: setup
setup: $(VENV)/.run ## Install what a run needs into .venv, locked versions with their hashes.

.PHONY: setup-all
setup-all: $(VENV)/.all ## Install optional packages, too: batch systems, Dask, ServiceX, XRootD, training.

.PHONY: setup-development
setup-development: $(VENV)/.development ## Install what tests and checks need, too.

.PHONY: run
run: $(run_environment) ## Run the default configuration: results/report.html.
	snakemake $(where) $(ARGS)

.PHONY: resume
resume: $(run_environment) ## Go on after a run was killed; takes the same PROFILE and ARGS as run.
	$(cancel)
	snakemake $(where) --unlock $(ARGS)
	snakemake $(where) $(ARGS)

.PHONY: todo
todo: $(run_environment) ## Show what is left to do; takes the same ARGS as run.
	snakemake --cores $(CORES) --dry-run $(ARGS)

.PHONY: test
test: setup-development ## Run the tests.
	python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

.PHONY: benchmark
benchmark: setup-development ## Take the speed of the histograms: results/benchmark.json.
	python benchmarks/histograms.py --json results/benchmark.json $(ARGS)

.PHONY: lint
lint: setup-development ## Check style, types, and the directions of imports.
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-cache
	snakefmt --check Snakefile workflow
	snakemake --lint
	zensical build --strict
	repo-review .
	zizmor --offline --no-progress --quiet .github

.PHONY: docs
docs: setup-development ## Build the documentation: site/index.html.
	python docs/generate.py
	zensical build --strict

.PHONY: format
format: setup-development ## Bring the code into shape.
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

.PHONY: keys
keys: setup-development ## Write the reference and the schema of the configuration anew.
	agc-pipeline keys > docs/keys.md
	agc-pipeline keys --schema > config/schema.json

.PHONY: lock
compile = uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header --generate-hashes
pinned = $(compile) --constraint requirements/development.txt
lock: setup-development ## Renew the lock files in requirements/ within the bounds of pyproject.toml.
	$(compile) --upgrade --all-extras pyproject.toml --output-file requirements/development.txt
	$(pinned) --extra simulation pyproject.toml --output-file requirements/run.txt
	$(pinned) $(foreach extra,$(EXTRAS),--extra $(extra)) pyproject.toml --output-file requirements/all.txt
	echo hatchling | $(pinned) - --output-file requirements/build.txt
	echo uv | $(pinned) - --output-file requirements/uv.txt

.PHONY: clean
clean: ## Remove results/ with all runs in it, and jobs of PROFILE that are left.
	$(cancel)
	rm -rf results .snakemake/htcondor .snakemake/slurm_logs
