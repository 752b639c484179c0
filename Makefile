# make demo    the whole story on embedded data, in .venv
# make test    all tests; with MNIST_DIR=FOLDER those that need the four files of MNIST, too
# make quick   the tests that take seconds
# make lint    ruff and mypy

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test quick lint

demo: $(INSTALLED)
	$(BIN)/tfp-realnvp demo --run-dir runs/demo --overwrite

test: $(INSTALLED)
	$(BIN)/python -m pytest

quick: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow and not mnist"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(INSTALLED): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test,lint]'
	touch $(INSTALLED)
