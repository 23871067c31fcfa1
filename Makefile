# Two commands do everything on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The local version label +cpu makes any other build of torch (several GB of CUDA) impossible.
TORCH := torch==2.13.0+cpu
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PIP := $(BIN)/python -m pip install --retries 1 --disable-pip-version-check --quiet

# The tests in which rows, locks, messages or release files matter; the others would only say the same again.
PRODUCTION_TESTS := $(patsubst %,tests/central/test_%.py,parcels checkins enrolment releases rollouts rollout_workers \
  rounds uploads shared_facts audit_chain blobs backup readiness retention)

export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1

.PHONY: help demo acceptance test test-production lint audit format node-lock bench-serve bench-build bench-sync bench-rounds bench-admin bench-centre bench-rollouts bench-page bench-sizing bench-retention clean

help:  ## Show what there is to make.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/python.ready: Makefile
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed; name one with: make PYTHON=python3.11"; exit 1; }
	@echo "Setting up $(VENV) (a CPU build of torch, then the project; some minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --extra-index-url $(TORCH_INDEX) '$(TORCH)'
	@touch $@

$(VENV)/demo.ready: $(VENV)/python.ready pyproject.toml
	@$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/dev.ready: $(VENV)/python.ready pyproject.toml
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/demo.ready

$(VENV)/bench.ready: $(VENV)/dev.ready
	@echo "Building llama.cpp for bench-serve (about ten minutes on two cores)"
	@$(PIP) --editable '.[bench]'
	@touch $@

demo: $(VENV)/demo.ready  ## Play the whole journey once on this machine (ARGS="--keep" and others are passed on).
	@$(BIN)/python manage.py demo $(ARGS)

acceptance: $(VENV)/dev.ready  ## A centre and three schools in networks of their own, from the folder to a restored centre; as root (ARGS="--until enrol").
	@$(BIN)/python -m tests.acceptance $(ARGS)

test: $(VENV)/dev.ready  ## Check everything: lint, audit, then unit, property and end-to-end tests.
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint audit
	@$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder $(ARGS)
	@[ "$(REQUIRE_SERVICES)" != 1 ] || $(MAKE) --no-print-directory test-production

test-production:  ## Run what depends on engines on those of production: PostgreSQL, RabbitMQ and a bucket (some minutes).
	@SORO_TEST_ENGINES=production $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" $(PRODUCTION_TESTS)

lint: $(VENV)/dev.ready  ## ruff, mypy, import contracts, missing migrations.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy manage.py central node federation
	@$(BIN)/lint-imports
	@$(BIN)/python manage.py central makemigrations --check --dry-run
	@$(BIN)/python manage.py node makemigrations --check --dry-run

audit: $(VENV)/dev.ready  ## Bandit, committed secrets, licences, known holes, and bills of materials in var/audit.
	@$(BIN)/python -m tests.audit

bench-serve: $(VENV)/bench.ready  ## Compare our engine with llama.cpp on the stand-in (builds llama.cpp once, some minutes).
	@$(BIN)/python -m tests.benchmarks.serve

bench-build: $(VENV)/dev.ready  ## Package random numbers in the shape of Gemma 3 4B: minutes and memory of each step (BENCH_SIZE=1b for others).
	@$(BIN)/python -m tests.benchmarks.build

bench-sync: $(VENV)/dev.ready  ## Compare how releases travel with one plain resumable download (a few minutes).
	@$(BIN)/python -m tests.benchmarks.sync

bench-rounds: $(VENV)/dev.ready  ## Measure rounds: 4,000 schools, one exchange, real processes, learning (PARTS="scale exchange" picks).
	@$(BIN)/python -m tests.benchmarks.rounds $(PARTS)

bench-admin: $(VENV)/dev.ready  ## Time the admin's pages over 4,000 schools and a million ratings on PostgreSQL (some minutes the first time).
	@$(BIN)/python -m tests.benchmarks.admin

bench-centre: $(VENV)/dev.ready  ## Let 4,000 schools check in at once, on PostgreSQL and on SQLite (minutes; ARGS=scaling, or ARGS=soak: an hour).
	@$(BIN)/python -m tests.benchmarks.centre $(ARGS)

bench-sizing: $(VENV)/dev.ready  ## Count what a school and its year take of the database, and what grows with schools (a minute).
	@$(BIN)/python -m tests.benchmarks.sizing $(ARGS)

bench-rollouts: $(VENV)/dev.ready  ## Roll releases out to 4,000 simulated schools, five ways; goes on where it was interrupted (ARGS="--anew").
	@$(BIN)/python -m tests.benchmarks.rollouts $(ARGS)

bench-retention: $(VENV)/dev.ready  ## Compare forgetting in batches with partitions over four million parcels in PostgreSQL (ARGS=ROWS).
	@$(BIN)/python -m tests.benchmarks.retention $(ARGS)

bench-page: $(VENV)/dev.ready  ## Measure the school's page: first paint, bytes, sixteen pupils who ask at once (minutes; the first time a build).
	@$(BIN)/python -m tests.benchmarks.page $(ARGS)

node-lock: $(VENV)/dev.ready  ## Write anew what exactly installation sticks carry, after the node's dependencies changed.
	@$(BIN)/python -m central.installers.lock

format: $(VENV)/dev.ready  ## Rewrite the code as ruff wants it.
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:  ## Remove what the demo and the tests made; the set-up stays.
	rm -rf var .pytest_cache .mypy_cache .ruff_cache .hypothesis
