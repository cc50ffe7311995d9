# Short commands; each is a script or a module that can be read on its own.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run stack test lint format bench-engine bench-storage bench-pipeline bench-display freeze

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: ## Serve on 127.0.0.1:$PORT (8000) with demo typists: needs Python 3.11 alone
	@exec deploy/local/run.sh

stack: ## Start MariaDB, Redis, Kafka, InfluxDB and every process of the site; Ctrl-C stops them
	@exec deploy/local/stack.sh

test: ## Run every test, embedded and on real MariaDB, Redis, Celery and Kafka
	@exec deploy/local/test.sh $(ARGS)

lint: ## Style, types and the floors
	@deploy/local/lint.sh

format: ## Rewrite the code in the house style
	@. deploy/local/environment.sh && ensure_environment tools
	@.venv/bin/ruff check --fix-only --quiet . ; .venv/bin/ruff format .

bench-engine: ## Measure the rulebook and the engine; writes var/bench/engine.json
	@exec deploy/local/bench.sh bench.engine

bench-storage: ## Measure the tables of users; writes var/bench/storage.json (about 12 minutes)
	@exec deploy/local/bench.sh bench.storage $(ARGS)

bench-pipeline: ## Measure the Kafka pipeline; writes var/bench/pipeline.json (about 10 minutes)
	@exec deploy/local/bench.sh bench.pipeline $(ARGS)

bench-display: ## Measure the edge and the display; writes var/bench/display.json (about 10 minutes)
	@exec deploy/local/bench.sh bench.display $(ARGS)

freeze: ## Renew requirements/constraints.txt from what .venv holds
	@{ echo '# Exact versions of everything that the requirement files bring in. Renew: make freeze'; \
	  .venv/bin/python -m pip freeze --local | grep -vE '^(pip|setuptools|wheel)=='; } > var/constraints.txt
	@mv var/constraints.txt requirements/constraints.txt
