# The plain commands behind these are in README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check bench drill clean

run: $(VENV)/.runtime
	$(BIN)/python run.py serve --dev

test: $(VENV)/.development
	$(BIN)/python -m pytest -n 4 --dist worksteal -q

check: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=.:client/python $(BIN)/lint-imports
	$(BIN)/python -m docs.rooms --check

bench: $(VENV)/.development
	$(BIN)/python -m bench $(if $(ROW),--row $(ROW)) $(if $(AGAINST),--against $(AGAINST))

drill: $(VENV)/.development
	$(BIN)/python -m tests.drill $(DRILL)

$(VENV)/.runtime: requirements.lock
	@echo "Installing the packages that Buzz needs into $(VENV). This takes a minute, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

$(VENV)/.development: requirements-dev.lock
	@echo "Installing the packages that Buzz and its tests need into $(VENV). This takes a few minutes, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@ $(VENV)/.runtime

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
