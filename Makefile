# What can be done here, in one line each: make help

PYTHON ?= python3
PORT   ?= 8000
DATA   ?= .data
BIN     = .venv/bin
# Several processes run the tests: what one has compiled, the next one need not.
unexport PYTHONDONTWRITEBYTECODE
# Tests that measure time have the machine to themselves; the others run four files at a time, the longest first.
ALONE   = tests/faults/test_mail_delay.py tests/attacks/disclosure/test_timing.py
PYTEST  = $(BIN)/python -m pytest -m "not system and not compose"
BESIDE  = -n 4 --dist loadfile --no-loadscope-reorder $(ALONE:%=--ignore=%)
CODE    = config.py docs/design/guess_sim.py main.py application.py alembic api backend bench commands database devstack examples jwt_tools models redis_tools template_message tests wiring

.DEFAULT_GOAL := help
.PHONY: help run test test-fast test-long test-system test-compose bench lint format install

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 14

install: .venv/installed ## Create .venv with the pinned requirements

.venv/installed: requirements.txt requirements-import.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 …"; exit 1; }
	@echo "Installing the requirements into .venv (once, about a minute) …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch .venv/installed

run: .venv/installed ## Serve on PORT with real servers in DATA, and show every mailed code
	@exec $(BIN)/python -m devstack run --port $(PORT) --data $(DATA)

test-fast: .venv/installed ## The tests that need no server, in half a minute
	@$(BIN)/python -m pytest -n 3 --dist worksteal tests/unit tests/test_house.py

ifdef FILE
test: .venv/installed
	@$(BIN)/python -m pytest $(FILE)
else
test: .venv/installed ## Every promise once, on real servers, in a few minutes; FILE=tests/… runs that file alone
	@$(PYTEST) $(BESIDE)
	@$(PYTEST) $(ALONE)
endif

test-long: .venv/installed ## The same with the full counts
	@TEST_COUNTS=full $(PYTEST) $(BESIDE)
	@TEST_COUNTS=full $(PYTEST) $(ALONE)

test-system: .venv/installed ## What needs Debian's chromium (a browser), faketime (a wrong clock), nginx and node (jose)
	@$(BIN)/python -m pytest -m system

test-compose: .venv/installed ## docker compose up from a fresh clone of HEAD; needs a Docker engine, and ports 80 and 443
	@docker info >/dev/null 2>&1 || { echo "No Docker engine answers: start one, or set DOCKER_HOST."; docker info; exit 1; }
	@$(BIN)/python -m pytest -sv -m compose tests/compose

bench: .venv/installed ## Speed, as ratios measured in one run
	@$(BIN)/python -m bench.login_storm
	@$(BIN)/python -m bench.protected_reads
	@$(BIN)/python -m bench.import_users

lint: .venv/installed ## Format, lint and types, as .ci/run checks them
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy $(CODE)

format: .venv/installed ## Mend format and what lint can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
