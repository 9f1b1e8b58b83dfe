# make demo          train, cut, translate and compare, on real text (about 15 minutes on 2 cores)
# make demo-compare  and against what one would do instead (about 25 minutes more)
# make bench         what it costs: time, memory, decoding speed (about 20 minutes on 2 cores)
# make test          every test, and the linter
# All work in .venv, made on first use with PYTHON (default: python3, which must be 3.11 or later).

PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help demo demo-compare bench test lint clean
help:
	@sed -n 's/^# \(make.*\)/\1/p' Makefile

demo: $(VENV)/.ready
	recipes/demo/run.sh

demo-compare: $(VENV)/.ready
	recipes/demo/run.sh compare

bench: $(VENV)/.ready
	$(VENV)/bin/pip install --disable-pip-version-check -q -c constraints.txt -e '.[plot]'
	python -W ignore benchmarks/run.py

test: lint
	python -m pytest -q

lint: $(VENV)/.ready
	ruff check .
	ruff format --check .

clean:
	rm -rf work

$(VENV)/.ready: setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Python 3.11 or later is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	touch $@
