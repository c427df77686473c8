# Two commands on a bare machine:  make demo   ·   make test
# Another package index, a wheel folder or another build of torch:  make setup PIP_ARGS="--extra-index-url …"
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV     ?= .venv
PIP_ARGS ?=
BIN      := $(VENV)/bin
OLDEST   := .venv-oldest
# The first interpreter that really runs and is 3.11 or newer; override with  make PYTHON=/path/to/python
PYTHON   ?= $(shell for p in python3 python3.11 python3.12 python3.13 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)


.PHONY: help setup setup-dev setup-docs demo test test-slow mutants fuzz lint format docs pico study picture clean distclean

help:
	@echo "make demo    set up, then analyse the bundled sample clip (table, demo/result.json, demo/report.html)"
	@echo "make test    set up, then lint, types, import contracts and all tests"
	@echo "make test-oldest  all tests with the lowest versions that pyproject.toml allows, in $(OLDEST)"
	@echo "make test-slow  the tests that make test leaves out, as they take minutes and install packages"
	@echo "make mutants break the source in small ways and see which breaks no test notices: hours; goes on where it stopped"
	@echo "make fuzz    feed random and damaged files to every reader for 10 minutes, and count crashes, hangs and tracebacks"
	@echo "make docs    set up, then build the documentation into site/; a broken link or another warning fails"
	@echo "make setup   only set up $(VENV) (PIP_ARGS= goes to pip)"
	@echo "make pico    stage Affect Theatre and train the bundled model from nothing: about 1.5 h; replaces the bundled one"
	@echo "make study   measure what each part of the method is worth: 63 trainings, hours; goes on where it stopped"
	@echo "make picture make docs/figures/report.png anew, the report page of the sample; needs Chromium"
	@echo "make format  let ruff tidy the tree"
	@echo "make clean   remove what the commands wrote; distclean removes $(VENV) and $(OLDEST) too"

# ---------------------------------------------------------------- set-up, once
setup: $(VENV)/.runtime
setup-dev: $(VENV)/.dev
setup-docs: $(VENV)/.docs

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "nanoemox needs Python 3.11 or newer; none found (try: make PYTHON=/path/to/python3.11)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV), about 1.7 GB and some minutes, this once; then: source $(BIN)/activate"
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) with what the tests need, some minutes, this once"
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[dev,serve]'
	@touch $@ $(VENV)/.runtime

$(VENV)/.docs: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) with what the documentation needs, some minutes, this once"
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[docs]'
	@touch $@ $(VENV)/.runtime

# ---------------------------------------------------------------- demo
demo: setup
	$(BIN)/nanoemox analyze demo/sample.mp4 --text "$$(cat demo/sample.txt)" \
		--json demo/result.json --html demo/report.html

picture: setup
	$(BIN)/python docs/figures/make_report_picture.py

# ---------------------------------------------------------------- checks
test: export OMP_NUM_THREADS := 1
test: setup-dev lint
	$(BIN)/pytest -q -n 2

# The lower bounds of pyproject.toml, in an environment of their own.
test-oldest: export OMP_NUM_THREADS := 1
test-oldest: $(OLDEST)/.dev
	$(OLDEST)/bin/pytest -q -n 2

$(OLDEST)/.dev: pyproject.toml constraints-oldest.txt
	@test -n "$(PYTHON)" || { echo "nanoemox needs Python 3.11 or newer; none found (try: make PYTHON=/path/to/python3.11)" >&2; exit 2; }
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet $(PIP_ARGS) -c constraints-oldest.txt -e '.[dev]'
	@touch $@

# The option -m overrides the one in pyproject.toml. PIP_ARGS reaches the pip that the tests call.
test-slow: export PIP_ARGS := $(PIP_ARGS)
test-slow: setup-dev
	$(BIN)/pytest -q -m slow

# For example  make mutants MUTANTS="--sample 80 --seed 1"  or  make mutants MUTANTS="--sources tasks --again"
MUTANTS ?=
mutants: export OMP_NUM_THREADS := 1
mutants: setup-dev
	$(BIN)/python -m tests.mutants $(MUTANTS)

# For example  make fuzz FUZZ="--minutes 60 --only media npz"
FUZZ ?=
fuzz: export OMP_NUM_THREADS := 1
fuzz: setup-dev
	$(BIN)/python -m tests.adversarial.fuzz $(FUZZ)

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src
	$(BIN)/pydoclint src/nanoemox
	$(BIN)/lint-imports

format: setup-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# ---------------------------------------------------------------- documentation
docs: setup-docs
	$(BIN)/python docs/build.py
	@echo "open site/index.html, or search it too:  $(BIN)/python -m http.server --bind 127.0.0.1 --directory site"

# ---------------------------------------------------------------- the bundled model, from nothing
# The first step stages the clips it needs. Every step resumes, so after a kill the same command goes on.
# The model that ships is written anew at the very end, with the figures that were measured on it.
pico: BUNDLED := src/nanoemox/weights/pico
pico: setup
	$(BIN)/nanoemox train pico_backbones --resume
	$(BIN)/nanoemox train p2e_pico --resume
	$(BIN)/nanoemox theatre make runs/pico/theatre/test --clips 600 --seed 1 --split test
	rm -rf runs/pico/model
	$(BIN)/nanoemox export runs/pico/p2e/3 runs/pico/model
	$(BIN)/nanoemox evaluate runs/pico/theatre/test/manifest.jsonl --model runs/pico/model \
		--majority-from runs/pico/theatre/train/manifest.jsonl --out runs/pico/evaluation
	rm -rf $(BUNDLED)
	$(BIN)/nanoemox export runs/pico/p2e/3 $(BUNDLED) --figures runs/pico/evaluation/report.json

# ---------------------------------------------------------------- what each part is worth
# Every step keeps what is there, and the study goes on run by run. Two of these side by side share the runs; the last
# line fails while runs are missing. For example  make study STUDY="--quick"  or  make study STUDY="--only joint"
STUDY ?=
study: export OMP_NUM_THREADS := 1
study: setup
	$(BIN)/nanoemox train pico_backbones --resume
	for seed in 1 2 3; do \
		$(BIN)/nanoemox theatre make runs/pico/theatre/test$$seed --clips 600 --seed $$seed --split test; \
	done
	$(BIN)/nanoemox study study_pico $(STUDY)

clean:
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .cache site demo/result.json demo/report.html
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -not -path './$(OLDEST)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) $(OLDEST)
