# Every target builds its environment first: a virtual environment in $(VENV) with the
# pinned packages of requirements/ and this package, editable. To use another Python or
# place: make test PYTHON=python3.13 VENV=.venv313

PYTHON ?= python3
VENV ?= .venv
FLAGS ?=
FIGURE1_WORKDIR ?= runs/figure1
TEST_PROCESSES ?= 2
# Compiling is most of the fast tests' time. It halves without LLVM's optimisations, and
# again with jaxlib 0.10's older code generator, which 0.12 has no longer.
TEST_XLA_FLAGS ?= --xla_backend_optimization_level=0 $(if $(filter 311,$(VERSION)), \
    --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1)

# Where it is set, every process that a test starts compiles jax's sources anew: 3 seconds.
export PYTHONDONTWRITEBYTECODE :=

BIN := $(VENV)/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d%d" % sys.version_info[:2])')
LOCK := requirements/py$(VERSION).txt
INSTALLED := $(VENV)/installed-py$(VERSION)

.PHONY: help figure1 test test-slow test-accelerator lint benchmark benchmark-check docs notebooks lock

help:
	@echo 'make figure1    train the MNIST network with and without BN, draw Figure 1'
	@echo '                make figure1 FLAGS="--config.steps=1000" overrides the config'
	@echo 'make test       run the tests, but for the slow ones'
	@echo 'make test-slow  run the slow tests'
	@echo 'make test-accelerator  run those for a GPU or TPU there (VENV with its jax)'
	@echo 'make lint       check the code with ruff'
	@echo 'make benchmark  measure the ratios of docs/measured.md and keep them'
	@echo 'make benchmark-check  measure them and say what is worse than is kept'
	@echo 'make docs       write a page of each public module to docs/api (pdoc)'
	@echo 'make notebooks  run the notebooks and keep what they show'
	@echo 'make lock       pin what pyproject.toml asks for in requirements/ (needs uv);'
	@echo '                make lock FLAGS=--upgrade takes the newest versions'

figure1: $(INSTALLED)
	$(BIN)/python scripts/sweep.py --config configs/mnist.py \
	    --only plain_seed0,bn_seed0 --workdir $(FIGURE1_WORKDIR) $(FLAGS)
	$(BIN)/python scripts/report.py --workdir $(FIGURE1_WORKDIR)

test: $(INSTALLED)
	XLA_FLAGS="$(TEST_XLA_FLAGS)" $(BIN)/python -m pytest -n $(TEST_PROCESSES) \
	    --dist worksteal -m "not slow" $(FLAGS)

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal -m slow $(FLAGS)

# Not $(INSTALLED): the lock's jax is for CPU, and VENV has the extra of the machine.
test-accelerator:
	JAX_PLATFORMS= XLA_FLAGS=--xla_gpu_deterministic_ops=true $(BIN)/python -m pytest -m accelerator $(FLAGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

benchmark: $(INSTALLED)
	$(BIN)/python scripts/benchmark.py $(FLAGS)
	$(BIN)/python scripts/benchmark.py --table

benchmark-check: $(INSTALLED)
	$(BIN)/python scripts/benchmark.py --check $(FLAGS)

docs: $(INSTALLED)
	$(PIP) install "pdoc>=15"
	$(BIN)/python -m pdoc --docformat google -o docs/api bn_repro \
	    '!bn_repro.*(_test|conftest|testing|__main__)'

# The lock is complete, hence --no-deps; modules are compiled when first imported, since
# compiling all of them takes as long as the rest of the installation.
$(INSTALLED): $(LOCK) pyproject.toml setup.py
	$(PYTHON) -m venv $(if $(wildcard $(VENV)/pyvenv.cfg),--clear) $(VENV)
	$(PIP) install --no-deps --no-compile -r $(LOCK)
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

$(LOCK):
	@echo "error: $(PYTHON) is not a supported Python (3.11, 3.12 or 3.13);" \
	    "name one, for example: make PYTHON=python3.12" >&2; exit 2

notebooks: $(INSTALLED)
	$(BIN)/python notebooks/execute.py

lock:
	@command -v uv >/dev/null || \
	    { echo "error: make lock needs uv: pip install uv" >&2; exit 2; }
	for minor in 11 12 13; do \
	    uv pip compile pyproject.toml --extra dev --universal --quiet $(FLAGS) \
	        --python-version 3.$$minor --no-header --no-annotate --no-emit-index-url \
	        --no-emit-find-links --output-file requirements/py3$$minor.txt || exit; \
	done
