# make demo runs the main job; make test passes the tests. Both set up .venv first; Python 3.11+ and a package
# index are all they need. PYTHON=python3.12 picks another interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= geophone-demo

.PHONY: demo test test-slow docs docs-test gallery package clean
demo: $(VENV)/.ready
	$(BIN)/geophone demo --out $(DEMO)

test: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=15

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest -m slow --timeout 3600

docs: $(VENV)/.ready
	$(BIN)/python docs/make_verbs.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet   # build/site/index.html

docs-test: $(VENV)/.ready
	$(BIN)/python docs/blocks.py   # every command and block of README and docs/

gallery: $(VENV)/.ready
	for case in induction grokking parity collapse forgetting shock; do $(BIN)/python docs/gallery/$$case.py || exit 1; done

package: $(VENV)/.ready
	$(BIN)/python benchmarks/package.py   # a wheel, tried in an empty environment

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV)
