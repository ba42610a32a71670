# make train: set up and train a small VGG11 on the embedded data.   make test: set up and run the tests.
# make docs: build the manual, build/manual/index.html.   make figures: compute figures of README and manual again.
# make man: manual pages, build/man.
# All need Python 3.10 or later with venv, and nothing else; everything is installed into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUN    := runs/vgg11.h5
# files of tests side by side, in the order of their names: by their number of tests the slowest would come last. The
# largest files are those of tests/project: they come first, so that the processes end together
TESTS  := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
          tests/project tests/cli tests/core tests/datasets tests/ep

.PHONY: train test lint docs figures man clean

train: $(VENV)/.run
	@mkdir -p runs
	$(BIN)/spikesim train --config examples/vgg11-mini.toml --out $(RUN) --resume
	$(BIN)/spikesim report $(RUN)
	@echo "run file: $(RUN)"

test: $(VENV)/.test
	$(BIN)/python -m pytest $(TESTS)

lint: $(VENV)/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -c docs --fail-on-warning --nitpicky --quiet -b html . build/manual
	@echo "manual: build/manual/index.html"

figures: $(VENV)/.run
	$(BIN)/python benchmarks/figures.py $(FIGURES)

man: $(VENV)/.run
	$(BIN)/python docs/man_pages.py build/man

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	@touch $@

$(VENV)/.lint: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test,lint]"
	@touch $@

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
