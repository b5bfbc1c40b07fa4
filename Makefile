# Everything runs in a virtual environment of the checkout's own; PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROJECTS := . mltk_plugin_audio mltk_plugin_image $(patsubst %/,%,$(wildcard plugins/*/))
# One process for each core; the tests of a file share what they trained.
PYTEST_ARGS ?= -n auto --dist loadfile

.PHONY: quickstart test dropin lint wheels clean

# Train the shipped digits model: float and int8 accuracy, .tflite, archive.
quickstart: $(VENV)/run-installed
	@$(BIN)/mltk train digits_v1

# All tests of all distributions.
test: $(VENV)/dev-installed
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# The specifications and archives of the reference's wheel, which comes from the package index: see docs/drop-in.md.
dropin: $(VENV)/dropin-installed
	$(BIN)/python tests/dropin/run_reference_archives.py
	$(BIN)/python tests/dropin/run_reference_specs.py

lint: $(VENV)/dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheels: $(VENV)/dev-installed
	for project in $(PROJECTS); do $(BIN)/python -m build --wheel --outdir dist $$project || exit 1; done

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mltk needs Python 3.11 or newer; choose one with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run-installed: $(BIN)/python pyproject.toml mltk_plugin_image/pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e . -e mltk_plugin_image
	@touch $@

$(VENV)/dev-installed: $(BIN)/python pyproject.toml $(PROJECTS:%=%/pyproject.toml)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -e mltk_plugin_audio -e 'mltk_plugin_image[7z]' $(addprefix -e ,$(filter plugins/%,$(PROJECTS)))
	@touch $@ $(VENV)/run-installed

$(VENV)/dropin-installed: $(VENV)/dev-installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[reference]'
	@touch $@
