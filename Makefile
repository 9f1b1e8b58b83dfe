# make demo          train, cut, compare engines, export; on real text (15 to 25 minutes on 2 cores)
# make demo-compare  and against what one would do instead (about 20 minutes more)
# make iwslt14-de    the same on IWSLT14 (also -ar, -fa, -es, -he; make iwslt14: all five); a GPU
# make multi30k-de   the same on Multi30k, with two students (an hour and a quarter)
# make schedules-multi30k-de   ways to half the depth, under the same number of updates: hours
# make importance-multi30k-de  what each layer weighs through training, plain and self-taught: an hour
# make compare-multi30k  self-teaching against training each size, on all of Multi30k: 2 1/2 hours
# make compare-scarce    all methods, three seeds, on 10,000 pairs: 4 hours (both with significance)
# make sizes-multi30k    one run of four sizes against training each, three seeds; sizes-scarce-long: on
#                        10,000 pairs; sizes-wide: with a wider model; hours each, by estimate
# make students-scarce-long   students of first, last and other layers, a run each, on these pairs
# make study             one setting after the other, on 10,000 pairs: 3 hours, by estimate
# make bitext NAME=mine SRC=train.de TGT=train.en   the same on your own text; a GPU
# make classify NAME=mine TSV=labels-and-texts MODEL=folder   a BERT, fine-tuned and cut; a GPU; make
#                        glue-rte, glue-cola GLUE_DIR=folder MODEL=folder   the same on these
# make debian-sections   the same on descriptions of Debian's packages: half an hour with a small BERT
# make summarise NAME=mine SRC=documents TGT=summaries   the same of documents, scored by ROUGE; a GPU
# make debian-summaries  the same of Debian's long descriptions of packages, with a small model
# make bench         what it costs: time, memory, decoding speed (about half an hour on 2 cores)
# make test          the tests, and the linter (about 11 minutes on 2 cores)
# make test-slow     kills and broken files by the thousand (about 15 minutes on 2 cores)
# All work in .venv, made on first use with PYTHON (default: python3, which must be 3.11 or 3.12).

PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# The names of what is said behind make: recipes/common.sh refuses those that no recipe reads.
export SAID := $(foreach one,$(.VARIABLES),$(if $(findstring command line,$(origin $(one))),$(one)))

DEFAULT_STAGES := prepare train truncate score report
RUN_STAGES = $(or $(STAGES),$(DEFAULT_STAGES))
SCARCE := SETTINGS="$${SETTINGS:-recipes/scarce.sh}" WORK="$${WORK:-work/scarce}"
TRIALS := plain plain@2 plain-dropout-0.1@2 selfteach deep-supervision r-drop paper authors $(notdir $(basename $(wildcard recipes/study/*)))

SIZES := selfteach plain plain@4x3 plain@4x2 plain@4x1 word-kd@4x2
STUDENTS_OF_ANY_LAYERS := 2 4x2 last2x2 0+3x0+3
AS_SHIPPED := STUDENTS="$${STUDENTS:-4x3 4x2 4x1}" AVERAGE="$${AVERAGE:-0 5}" \
    ENGINES="$${ENGINES:-fairseq ctranslate2-int8}"

# What is made to ship comes out, unless STAGES says else.
demo classify debian-sections glue-%: DEFAULT_STAGES += export
importance-%: DEFAULT_STAGES := prepare train truncate score importance report

.PHONY: help demo demo-compare compare-scarce compare-multi30k sizes-multi30k sizes-scarce-long \
        students-scarce-long sizes-wide study iwslt14 bitext summarise classify debian-summaries bench test \
        test-slow lint clean
help:
	@sed -n 's/^# \(make.*\)/\1/p' Makefile

demo: $(VENV)/.ready
	recipes/run.sh demo $(RUN_STAGES)

demo-compare: $(VENV)/.ready
	METHOD="$${METHOD:-selfteach plain plain@2}" recipes/run.sh demo $(RUN_STAGES)

iwslt14: iwslt14-de iwslt14-ar iwslt14-fa iwslt14-es iwslt14-he

iwslt14-%: $(VENV)/.ready
	recipes/run.sh $@ $(RUN_STAGES)

multi30k-%: $(VENV)/.ready
	recipes/run.sh $@ $(RUN_STAGES)

schedules-%: $(VENV)/.ready
	SETTINGS="$${SETTINGS:-recipes/schedules.sh}" WORK="$${WORK:-work/$@}" recipes/run.sh "$*" $(RUN_STAGES)

importance-%: $(VENV)/.ready
	KEEP_EVERY=$${KEEP_EVERY:-150} METHOD="$${METHOD:-plain selfteach}" SEEDS=$${SEEDS:-1} LAYERS=$${LAYERS:-6} \
	    STUDENTS="$${STUDENTS:-3}" \
	    SETTINGS="$${SETTINGS:-recipes/schedules.sh}" WORK="$${WORK:-work/$@}" recipes/run.sh "$*" $(RUN_STAGES)

compare-multi30k: $(VENV)/.ready
	METHOD="$${METHOD:-plain plain@3 plain@2 deep-supervision selfteach}" SEEDS=$${SEEDS:-1} \
	    recipes/compare.sh multi30k-de

compare-scarce: $(VENV)/.ready
	$(SCARCE) recipes/compare.sh multi30k-de

study: $(VENV)/.ready
	METHOD="$${METHOD:-$(TRIALS)}" LENPENS="$${LENPENS:-0.6 1 1.4 1.8}" $(SCARCE) recipes/run.sh multi30k-de $(RUN_STAGES)

sizes-multi30k: $(VENV)/.ready
	METHOD="$${METHOD:-$(SIZES)}" $(AS_SHIPPED) WORK="$${WORK:-work/$@}" recipes/compare.sh multi30k-de

sizes-scarce-long: $(VENV)/.ready  # these two also with TEST_SET=test1
	METHOD="$${METHOD:-$(SIZES) word-kd@4x1 deep-supervision}" $(AS_SHIPPED) WORK="$${WORK:-work/$@}" \
	    SETTINGS="$${SETTINGS:-recipes/scarce-long.sh}" recipes/compare.sh multi30k-de

students-scarce-long: $(VENV)/.ready
	METHOD="$${METHOD:-plain plain@2 $(foreach one,$(STUDENTS_OF_ANY_LAYERS),selfteach=$(one)) \
	    shared-dropout=2 shared-dropout=4x2}" \
	    STUDENTS="$${STUDENTS:-$(STUDENTS_OF_ANY_LAYERS)}" WORK="$${WORK:-work/$@}" SETTINGS="$${SETTINGS:-recipes/scarce-long.sh}" \
	    recipes/compare.sh multi30k-de

sizes-wide: $(VENV)/.ready
	METHOD="$${METHOD:-selfteach plain plain@4x2 word-kd@4x2}" $(AS_SHIPPED) WORK="$${WORK:-work/$@}" \
	    SETTINGS="$${SETTINGS:-recipes/wide.sh}" recipes/compare.sh multi30k-de

compare-%: $(VENV)/.ready
	recipes/compare.sh "$*"

bitext: $(VENV)/.ready
	recipes/run.sh "bitext-$$NAME" $(RUN_STAGES)

summarise: $(VENV)/.ready
	recipes/run.sh "summarise-$$NAME" $(RUN_STAGES)

classify: $(VENV)/.ready
	recipes/run.sh "classify-$$NAME" $(RUN_STAGES)

glue-% debian-%: $(VENV)/.ready
	recipes/run.sh $@ $(RUN_STAGES)

debian-summaries: $(VENV)/.ready
	recipes/run.sh $@ $(RUN_STAGES)

bench: $(VENV)/.ready
	python -W ignore benchmarks/run.py

test: lint
	python -m pytest -q

test-slow: $(VENV)/.ready
	python -m pytest -q -m slow

lint: $(VENV)/.ready
	ruff check .
	ruff format --check .
	mypy

clean:
	rm -rf work

# torch comes last and without a checksum, so that a CPU's build, or one for another GPU, may stand in.
$(VENV)/.ready: setup.py constraints.txt requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
	    || { echo "Python 3.11 or 3.12 is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --disable-pip-version-check -q --require-hashes --no-deps -r requirements.txt
	$(VENV)/bin/pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	touch $@
