# The project's commands. `make demo` and `make test` need Linux, Python ≥ 3.11 and make; nothing else.
# Paths are relative, so that a clone may lie below any folder name.

PYTHON ?= python3
VENV := var/venv
RUN := PYTHONPATH="$$PWD/include:$$PWD/plugins" $(VENV)/bin/python
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench format lock venv clean

help:           ## This list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

demo: $(VENV)/runs  ## Everything, for real, on this machine: lodge, publish by Airflow, read back as a Party
	@$(RUN) -m smki_demo

test: $(VENV)/checks  ## All tests, on real PostgreSQL, sshd and Airflow, by two workers
	@$(RUN) -m pytest -n 2 --dist loadscope --no-loadscope-reorder

lint: $(VENV)/checks  ## ruff and mypy
	@$(VENV)/bin/python -m ruff format --check .
	@$(VENV)/bin/python -m ruff check .
	@$(RUN) -m mypy

bench: $(VENV)/checks  ## Measurements against peers in the same run (N=1000000)
	@$(RUN) tests/bench/bench.py --certificates $(or $(N),1000000)

format: $(VENV)/checks  ## Format and sort imports
	@$(VENV)/bin/python -m ruff check --select I --fix-only -q .
	@$(VENV)/bin/python -m ruff format -q .

lock: $(VENV)/checks  ## Renew requirements.txt and requirements-dev.txt from their .in files
	@for set in requirements requirements-dev; do \
	  $(VENV)/bin/python -m uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 \
	    --custom-compile-command 'make lock' $$set.in -o $$set.txt || exit 1; done

venv: $(VENV)/runs  ## The virtual environment only

clean:          ## Remove everything that the project wrote, but its virtual environment
	@find var -mindepth 1 -maxdepth 1 ! -name venv -exec rm -rf {} +

# The lock is its own constraint, too: without that, older pips look at newer releases of what has extras, and stop.
$(VENV)/runs: requirements.txt
	@echo "installing what the publisher needs into $(VENV) (about a minute) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python ≥ 3.11 is needed: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt -c requirements.txt
	@touch $@

$(VENV)/checks: $(VENV)/runs requirements-dev.txt
	@echo "installing what the checks need …"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt -c requirements-dev.txt
	@touch $@
