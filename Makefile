# Commands a newcomer runs: `make report` and `make test`. Both set everything up first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
MODELS := $(patsubst models/%/model.safetensors,%,$(wildcard models/*/model.safetensors))

# With any other load, two threads are often slower than one on small matrices.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
export PIP_DISABLE_PIP_VERSION_CHECK := 1

NOTEBOOKS := $(patsubst notebooks/%.py,reports/notebooks/%.ipynb,$(wildcard notebooks/*.py))

.PHONY: report notebooks test test-versions lint figures bench docs clean setup

report: $(READY) $(NOTEBOOKS)
	@for model in $(MODELS); do \
	  echo; echo "== $$model"; \
	  $(BIN)/toeplitz-theory inspect models/$$model --json reports/$$model/report.json \
	    --html reports/$$model/report.html --figures reports/$$model/figures --overwrite || exit $$?; \
	done
	@echo; echo "Written: $(foreach model,$(MODELS),reports/$(model)/report.html)"
	@echo "Notebooks to open: reports/notebooks/ (make notebooks starts JupyterLab there)"

# The text in notebooks/ is the source; these copies are for Jupyter. Newer ones, such as yours, stay.
reports/notebooks/%.ipynb: notebooks/%.py | $(READY)
	@mkdir -p $(@D)
	@$(BIN)/jupytext --quiet --to ipynb --output $@ $<

notebooks: $(READY) $(NOTEBOOKS)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[notebooks]'
	$(BIN)/jupyter lab reports/notebooks

# The site, into site/: readable from the disk, without network.
docs: $(READY)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[docs]'
	$(BIN)/mkdocs build --strict

# Files are shared out over up to four processes.
test: $(READY)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# The lowest and the newest versions that pyproject.toml allows, in throw-away environments.
test-versions: $(READY)
	BASE=$(BIN)/python .ci/test-versions lowest
	BASE=$(BIN)/python .ci/test-versions newest

lint: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

figures: $(READY)
	$(BIN)/toeplitz-theory figures

bench: $(READY)
	for bench in benchmarks/[a-z]*.py; do echo "== $$bench"; $(BIN)/python $$bench || exit $$?; done

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; run: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) reports site build dist
