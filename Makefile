# flexpack: `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

# The demo's own drawn images and weights, unless you name yours (local paths or gs://).
INPUT ?=
LABELS ?=
MODEL ?=
PORT ?= 9100

# What `make template` and `make run` package and launch.
TEMPLATE ?= batch
IMAGE ?= local/flexpack
BUCKET ?=
PROJECT ?=
REGION ?=
JOB_NAME ?= flexpack-$(TEMPLATE)
PARAMETERS ?=
ARGS ?=
SPEC = gs://$(BUCKET)/templates/$(TEMPLATE).json

.PHONY: help demo test lint format metadata template run emulator bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	@echo "setting up .venv with $(PYTHON): some minutes, once"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v == (3, 11) or sys.exit("flexpack needs Python 3.11, and PYTHON=$(PYTHON) is %d.%d: make PYTHON=/path/to/python3.11" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --editable '.[dev]' | awk ' \
	    /^Collecting/ { printf "\r  %d packages found", ++found; fflush() } \
	    /^Installing collected/ { printf ", installing"; fflush() } \
	    /^Successfully installed/ { print ", done" }'
	@touch $@

demo: $(READY)  ## predict images on the local Dataflow, from weights to predictions
	@$(BIN)/python -m launcher.demo --input='$(INPUT)' --labels='$(LABELS)' --model='$(MODEL)' --port='$(PORT)'

test: $(READY)  ## run the tests
	@$(BIN)/python -m pytest $(ARGS)

lint: $(READY)  ## check style, types and generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/flexpack metadata --check

format: $(READY)  ## format the code
	@$(BIN)/ruff check --fix --select I .
	@$(BIN)/ruff format .

metadata: $(READY)  ## write metadata/*.json and the README's parameter tables
	@$(BIN)/flexpack metadata

template: $(READY)  ## write the template's spec to gs://BUCKET (IMAGE=, TEMPLATE=, BUCKET=)
	@test -n '$(BUCKET)' || { echo 'BUCKET is not set: make template BUCKET=my-bucket IMAGE=...' >&2; exit 2; }
	@$(BIN)/flexpack build '$(SPEC)' --template '$(TEMPLATE)' --image '$(IMAGE)' $(ARGS)

run: $(READY)  ## launch the template (JOB_NAME=, BUCKET=, PROJECT=, REGION=, PARAMETERS="k=v k=v")
	@test -n '$(BUCKET)' || { echo 'BUCKET is not set: make run BUCKET=my-bucket ...' >&2; exit 2; }
	@$(BIN)/flexpack run '$(JOB_NAME)' --template-file-gcs-location '$(SPEC)' \
	    --staging-location 'gs://$(BUCKET)/staging' --wait \
	    $(if $(PROJECT),--project '$(PROJECT)') $(if $(REGION),--region '$(REGION)') \
	    $(foreach pair,$(PARAMETERS),--parameters '$(pair)') $(ARGS)

emulator: $(READY)  ## serve the local Dataflow in the foreground
	@$(BIN)/flexpack emulator start $(ARGS)

bench: $(READY)  ## measure the pipeline against a raw torch loop and other shapes
	@$(BIN)/python tests/bench/bench_batch.py $(ARGS)

clean:  ## stop the local Dataflow; remove its data, the demo's output and caches (keeps .venv)
	@test ! -x $(BIN)/flexpack || $(BIN)/flexpack emulator stop
	rm -rf .flexpack demo-output build *.egg-info .pytest_cache .mypy_cache .ruff_cache
