# Two commands do everything on a fresh machine: `make book` and `make test`.
# Needs Python 3.11 or later, make and git.

PYTHON ?= python3
# Exact versions that were tested; `make CONSTRAINTS= book` takes the newest instead.
CONSTRAINTS ?= -c requirements-tested.txt
RUN := .venv/bin/python

.PHONY: help install book pdf test test-all bench cuda lab clean

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

install: .venv/installed  ## make .venv and install the book into it

.venv/installed: pyproject.toml requirements-tested.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed; name one: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	@echo "Installing (PyTorch is large: this takes some minutes once)"
	$(RUN) -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) --editable '.[test]'
	@# so that notebooks find `lib` from any folder; only here, never where the book is installed from outside
	@$(RUN) -c "import sysconfig; open(sysconfig.get_path('purelib') + '/book_folder.pth', 'w').write('$(CURDIR)\n')"
	@touch $@

book: install  ## run every chapter live at smoke, build the site, say where it is
	$(RUN) -m lib book

pdf: book  ## the whole book as one PDF (needs Chromium)
	$(RUN) -m lib pdf

test: install  ## lint, import contract, unit and notebook tests, chapters live that changed
	$(RUN) -m lib test

test-all: install  ## all of `test`, and what is slow: kills, browsers, sites, clusters, records
	$(RUN) -m lib test-all

bench: install  ## benchmarks, side by side in one run
	$(RUN) -m lib bench

cuda: install  ## with a CUDA card: check its numbers, measure its rates, record at the paper's scale
	$(RUN) -m tests.cuda

lab: install  ## open the notebooks in JupyterLab
	$(RUN) -m pip install --quiet --disable-pip-version-check jupyterlab
	$(RUN) -m jupyter lab notebooks

clean:  ## remove what was built (records and data stay)
	rm -rf _build build .pytest_cache .ruff_cache .import_linter_cache
