# make demo: the main job on data that comes with the packages.   make test: lint, types, tests.
# Each makes its own virtual environment and installs what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: demo test test-full bench lint types clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	rm -rf demo
	$(BIN)/striate train mnist-5k --net lenet5_plain --strategy scratch --out demo/digits
	$(BIN)/striate train faces --out demo/faces
	@echo
	@echo "Reports: demo/digits/report.html and demo/faces/report.html"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

test: lint types
	$(BIN)/python -m pytest

test-full: lint types
	$(BIN)/python -m pytest -m ''

# Measures first light's figures; PEERS="--peer-python PYTHON --fastai SCRIPT" puts the peers in between.
bench: $(STAMP)
	$(BIN)/python benchmarks/first_light.py $(PEERS)

clean:
	rm -rf $(VENV) demo build *.egg-info
