# Every target installs what it needs first; a second run finds it there and needs no network.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Of another Python: .venv would import its modules, not start, or fail where dbt warns.
unexport PYTHONPATH PYTHONHOME PYTHONPLATLIBDIR PYTHONWARNINGS
# What needs no Trino needs no address of one either.
DBT_OFFLINE := TRINO_HOST= TRINO_PORT=0 TRINO_USER= TRINO_CATALOG=lake \
  DBT_PROJECT_DIR=dbt DBT_PROFILES_DIR=dbt $(BIN)/dbt --quiet

.PHONY: demo test faults acceptance chaos bench bench-full bench-curves bench-shapes bench-marts up down status env docs lint clean

demo: $(READY) ## From an empty machine to marts: start, generate, ingest, build, prove, stop
	@$(BIN)/python -m lakehouse.demo

test: $(READY) ## Unit and integration tests, on real services of their own
	@$(BIN)/python -m pytest tests/unit tests/integration

faults: $(READY) ## Kill, break and lose what can be, on services that may be broken
	@$(BIN)/python -m pytest tests/faults

acceptance: $(READY) ## What others published, and tools of others, each in an environment of its own
	@$(BIN)/python -m pytest tests/acceptance

KILLS ?= 100
EVENTS ?= 1000000
chaos: $(READY) ## Kill ingests at random while events come, then prove that each is there once
	@KILLS=$(KILLS) EVENTS=$(EVENTS) $(BIN)/python -m pytest tests/faults/test_chaos.py

bench: $(READY) ## What an event costs beside Kafka Connect, plain Spark and a loop: one quick round
	@$(BIN)/python -m bench.throughput

bench-full: $(READY) ## The same with 4 M events in three rounds
	@$(BIN)/python -m bench.throughput --events 4000000 --rounds 3 --name full

bench-curves: $(READY) ## What an event costs by backlog, partitions, bad messages, cores and table
	@$(BIN)/python -m bench.curves

bench-shapes: $(READY) ## What 1,000 partitions, 20,000 days and messages of 100 kB take (30 GB of disk)
	@$(BIN)/python -m bench.shapes

bench-marts: $(READY) ## What dbt build takes at 1 M and 10 M events: full, one late event, nothing new
	@$(BIN)/python -m bench.marts

up down status env: $(READY) ## The local stack; eval "$$(make -s env)" lets your own tools join it
	@$(BIN)/python -m lakehouse.stack $@

docs: $(READY) ## Lineage and every model and column, in one file that any browser opens
	@$(DBT_OFFLINE) parse
	@$(DBT_OFFLINE) docs generate --static --empty-catalog --no-compile
	@echo dbt/target/static_index.html

lint: $(READY) ## Formatting, style, types and SQL
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/sqlfluff lint --config dbt/.sqlfluff dbt/models dbt/tests dbt/macros
	@$(DBT_OFFLINE) parse --target dev
	@$(BIN)/dbt-bouncer run --config-file dbt/dbt-bouncer.yml

clean: $(READY) ## Stop the stack and remove its data; downloads stay
	@$(BIN)/python -m lakehouse.stack clean

# The lock is complete, so nothing is left to resolve (pip trips over its extras otherwise).
# pip or uv writes to stderr, so that `make -s env` prints exports alone.
$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or newer is needed. Install one and run: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "installing Python packages into .venv (about 720 MB to fetch, the first time)" >&2
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing --python "$(PYTHON)" .venv && \
	  VIRTUAL_ENV=.venv uv pip sync --compile-bytecode --require-hashes requirements.lock && \
	  VIRTUAL_ENV=.venv uv pip install --no-deps --no-build-isolation --editable . ; \
	else \
	  $(PYTHON) -m venv .venv && \
	  $(BIN)/python -m pip install --no-deps --require-hashes --requirement requirements.lock && \
	  $(BIN)/python -m pip install --no-deps --no-build-isolation --editable . ; \
	fi >&2
	@touch $@
