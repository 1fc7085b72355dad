# make train | test | test-long | lint | docs | benchmark | results: each sets up what it needs; a second call starts at once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,docs]"
	touch $(STAMP)

.PHONY: setup train test test-long lint docs benchmark results
setup: $(STAMP)

train: $(STAMP)
	@set -e; out=$$(mktemp); \
	$(BIN)/pointsman-train experiment=call_centre seed=0 | tee $$out; \
	run=$$(sed -n 's/^run: //p' $$out | tail -n 1); rm -f $$out; \
	$(BIN)/pointsman-evaluate run="$$run"

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not long"

test-long: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

benchmark: $(STAMP)
	$(BIN)/python scripts/benchmark.py

results: $(STAMP)  # ROWS="dispatch/mini queueing" for some only
	nice $(BIN)/python scripts/results.py $(ROWS)
