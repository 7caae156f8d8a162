# `make demo` shows the main job, `make test` passes all checks and tests; each sets up what it needs in .venv.
# While working: `make quick`, and `make one T=tests/history` or `make one T=tests/history/test_status.py::test_name`.

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin
# What most changes touch; none of it starts many processes.
CORE = tests/sources tests/history tests/databases tests/ledgers tests/indexes tests/rehearsals tests/test_errors.py tests/test_layers.py

.PHONY: demo test quick one check docs clean

demo: $(VENV)/installed
	@sh docs/demo.sh $(RUN)

test: $(VENV)/tested check
	$(RUN)/python -m pytest -n auto $(OPTIONS)

quick: $(VENV)/tested check
	$(RUN)/python -m pytest -q -n auto -m 'not slow' $(CORE)

one: $(VENV)/tested
	$(RUN)/python -m pytest $(T)

check: $(VENV)/tested
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy

# The site, in build/docs; a warning is an error.
docs: $(VENV)/documented
	$(RUN)/python -m sphinx -b html -W --keep-going -d build/doctrees docs build/docs

$(VENV)/documented: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@ $(VENV)/installed

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/tested: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs,recipes,test]'
	@touch $@ $(VENV)/installed $(VENV)/documented

clean:
	rm -rf .venv* build dist *.egg-info
