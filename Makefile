# The project's commands. `make demo` and `make test` need Linux, Python ≥ 3.11 and make; nothing else.
# Paths are relative, so that a clone may lie below any folder name.

PYTHON ?= python3
VENV := var/venv
RUN := $(VENV)/bin/python
.DEFAULT_GOAL := help
.PHONY: help demo check test lint bench chaos histories format lock venv clean

help:           ## This list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 18

demo: $(VENV)/project  ## Everything, for real, on this machine: lodge, publish by Airflow, read back as a Party
	@$(VENV)/bin/smki-demo run

check: lint     ## ruff, mypy and the unit tests with few examples each: what to run before each commit
	@$(RUN) -m pytest tests/unit -n 2 --hypothesis-profile quick

test: $(VENV)/checks  ## All tests, on real PostgreSQL, sshd and Airflow, by three workers
	@$(RUN) -m pytest -n 3 --dist loadscope --no-loadscope-reorder

lint: $(VENV)/checks  ## ruff and mypy
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy

bench: $(VENV)/checks  ## Measurements against peers in the same run (N=1000000)
	@cd tests && ../$(RUN) -m bench --certificates $(or $(N),1000000)

chaos: $(VENV)/checks  ## Faults in each step of a run, under Airflow's scheduler (ONLY='lists:*', PART=1/20)
	@cd tests && ../$(RUN) -m chaos --only '$(or $(ONLY),*)' --part $(or $(PART),1/1)

histories: $(VENV)/checks  ## The properties over whole histories, at length: both ends, and renewal (N=1000)
	@HISTORIES=$(or $(N),1000) $(RUN) -m pytest -n 2 --timeout 0 tests/integration/both_ends \
	  tests/integration/kinds/extracts/test_renewal.py::test_renewed_extract_is_the_one_made_from_scratch

format: $(VENV)/checks  ## Format and sort imports
	@$(RUN) -m ruff check --select I --fix-only -q .
	@$(RUN) -m ruff format -q .

lock: $(VENV)/checks  ## Renew requirements.txt and requirements-dev.txt from their .in files
	@for set in requirements requirements-dev; do \
	  $(RUN) -m uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 \
	    --custom-compile-command 'make lock' $$set.in -o $$set.txt || exit 1; done

venv: $(VENV)/project  ## The virtual environment only, with the commands smki and smki-demo in it

clean:          ## Remove everything that the project wrote, but its virtual environment
	@find var -mindepth 1 -maxdepth 1 ! -name venv -exec rm -rf {} +

# The lock is its own constraint, too: without that, older pips look at newer releases of what has extras, and stop.
$(VENV)/runs: requirements.txt
	@echo "installing what the publisher needs into $(VENV) (about a minute) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python ≥ 3.11 is needed: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt -c requirements.txt
	@touch $@

# Editable: the tree is what runs. Built by the lock's setuptools, so that nothing without a hash is downloaded.
$(VENV)/project: $(VENV)/runs pyproject.toml
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/checks: $(VENV)/project requirements-dev.txt
	@echo "installing what the checks need …"
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt -c requirements-dev.txt
	@touch $@
