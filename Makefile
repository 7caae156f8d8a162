# `make demo` shows the main job, `make test` passes all checks and tests; each sets up what it needs in .venv.

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin

.PHONY: demo test check clean

demo: $(VENV)/installed
	@sh docs/demo.sh $(RUN)

test: $(VENV)/tested check
	$(RUN)/python -m pytest -n auto

check: $(VENV)/tested
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/tested: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/installed

clean:
	rm -rf .venv* build dist *.egg-info
