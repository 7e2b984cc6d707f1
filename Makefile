# Thin names for what people do often; the work is in the scripts they call.
# `make` alone lists them.

export SEKISHO_SHARED ?= $(CURDIR)/../shared
python := .sekisho/venv/bin/python
DURATION ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-sheet test bench soak test-scripts check models-calibrate

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install Debian packages, ONNX Runtime, networks and demonstration clips (idempotent)
	deploy/setup

demo: ## two cameras, three enrolled people, strangers: watch it work; DURATION=60 ends by itself and judges
	deploy/demo/run $(if $(DURATION),--duration $(DURATION))

demo-sheet: setup ## look at the demonstration's clips: a picture, and what detector and embedder make of them
	deploy/demo/contact_sheet

check: ## formatting and lints, warnings are errors
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

test: setup check test-scripts ## everything that must hold before a change lands
	cargo build --workspace --locked
	cargo test --workspace --locked --no-fail-fast

bench: setup ## what each stage costs, and the whole daemon over their sum (SECONDS_LIVE=60 a stream)
	cargo build --release --locked -p sekisho -p sekisho-tests
	target/release/bench

soak: setup ## 200 camera reconnects and 200 kills of the store, figures printed
	cargo build --workspace --locked
	SEKISHO_RECONNECTS=200 cargo test --locked -p sekisho-tests --test camera_reconnects -- --nocapture
	SEKISHO_KILLS=200 cargo test --locked -p sekisho-tests --test store_kill -- --nocapture

ARCH ?=
.PHONY: deb
deb: setup ## Debian packages for amd64 and arm64 in target/deb (ARCH=amd64 for one of them), checked by lintian
	deploy/package/build $(if $(ARCH),--arch $(ARCH))

test-scripts: ## the set-up's and the calibration's own unit tests
	$(python) -m unittest discover -s deploy -p 'test_*.py'
	$(python) -m unittest discover -s models/calibrate

.PHONY: guide-pictures
guide-pictures: setup ## take the pictures of deploy/guide/review.md anew, from the real page on the demonstration's cameras
	cargo build --workspace --locked
	$(python) deploy/guide/shots.py

NETWORK ?= sekisho-student-m
models-calibrate: setup ## measure an embedder's scores by face size again (NETWORK=...; needs the calibration photographs)
	nice $(python) models/calibrate/calibrate.py --data $(SEKISHO_SHARED)/data/calibration-celeba.tar \
	    --network $(NETWORK) --models .sekisho/models

.PHONY: quality
quality: setup ## false identification and recognition on held-out people, by face size (half an hour the first time; needs the shared data)
	nice $(python) models/calibrate/quality.py --data $(SEKISHO_SHARED)/data/test-lfw.tar --models .sekisho/models --out models/quality

.PHONY: second
second: setup ## what the second network's agreement removes and costs, on held-out people (an hour and more the first time; needs the shared data)
	nice $(python) models/calibrate/second.py --calibration $(SEKISHO_SHARED)/data/calibration-celeba.tar \
	    --data $(SEKISHO_SHARED)/data/test-lfw.tar --models .sekisho/models --out models/quality --pairs models/calibration/pairs.toml

train_python := .sekisho/venv-train/bin/python

.PHONY: models-setup models-test models-gate

models-setup: ## the training environment, apart from everything else (several gigabytes)
	test -x $(train_python) || python3 -m venv .sekisho/venv-train
	$(train_python) -m pip install --quiet --requirement models/distill/requirements.txt

models-test: models-setup ## networks, export parity, degradation, a smoke training, evaluation on a tiny set
	cd models && PYTHONPATH=. nice ../$(train_python) -m pytest -q distill/tests evaluate/tests

models-gate: ## the committed student: hashes, stored answers, int8 against fp32; needs no PyTorch
	$(python) -m unittest discover -s models/student

test: models-gate
