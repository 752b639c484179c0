# make demo    the whole story on embedded data, in .venv
# make test    all tests; MNIST_DIR=FOLDER adds those that need the four files of MNIST
# make quick   the tests that take seconds
# make lint    ruff, mypy, and import-linter: imports go one way
# make bench   our speed beside that of other libraries, 15 to 30 minutes on an idle machine;
#              MNIST_DIR=FOLDER measures on MNIST, and the time to a given score, too

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test quick lint bench

demo: $(INSTALLED)
	$(BIN)/tfp-realnvp demo --run-dir runs/demo --overwrite

# several runs, because TensorFlow keeps what it traced: one process for all tests outgrows the memory
test: quick
	$(BIN)/python -m pytest -m "slow or mnist" tests/test_[a-f]*.py
	$(BIN)/python -m pytest -m "slow or mnist" tests/test_[g-z]*.py tfp_realnvp

quick: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow and not mnist"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/compare.py
	test -z "$(MNIST_DIR)" || $(BIN)/python benchmarks/time_to.py

$(VENV)/.installed-bench: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

$(INSTALLED): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test,lint]'
	touch $(INSTALLED)
