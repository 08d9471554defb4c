# Every command of the project; `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= $(or $(shell for name in python3 python3.13 python3.12 python3.11; do $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && echo $$name && break; done),python3)
VENV := .venv
BIN := $(VENV)/bin
UV := $(VENV)/bootstrap/bin/uv
MEMBERS := proto backbone deploy/local cli $(wildcard services/*)
STAMP := $(VENV)/installed
CONSOLE := services/console
ASSETS := $(CONSOLE)/console/static/vendor/icons.json
PROTOS := $(wildcard proto/handoff/events/v1/*.proto)
PROTOC = cd proto && ../$(BIN)/python -m grpc_tools.protoc -I . --plugin=protoc-gen-mypy=../$(BIN)/protoc-gen-mypy

.DEFAULT_GOAL := help
.PHONY: help install run test check bench proto proto-release lock up down clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

install: $(STAMP) $(ASSETS) ## Install everything that the other commands need, into .venv

$(STAMP): requirements.lock $(addsuffix /pyproject.toml,$(MEMBERS))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Handoff needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 install"; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV)"; $(PYTHON) -m venv $(VENV) || { echo "This Python makes no environments; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }; }
	@test -x $(UV) || { echo "Installing uv"; $(PYTHON) -m venv $(VENV)/bootstrap && $(VENV)/bootstrap/bin/python -m pip --quiet --disable-pip-version-check install uv; }
	@$(PYTHON) deploy/install.py $(UV) $(BIN)/python requirements.lock $(MEMBERS)
	@touch $(STAMP)

$(ASSETS): $(CONSOLE)/package-lock.json $(CONSOLE)/build_assets.py | $(STAMP)
	@echo "Fetching the console's front-end files"
	@$(BIN)/python $(CONSOLE)/build_assets.py --for-tests

run: install ## Start everything on this machine, with a demo company; Ctrl-C ends it
	@exec $(BIN)/handoff up --demo

test: install ## Run every test, against a PostgreSQL and a Kafka that the run starts itself
	@$(BIN)/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

check: install ## Format, lint, types, import rules, contracts, generated code
	@$(BIN)/ruff format --check --quiet . || { echo "Run: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@cd proto && ../$(BIN)/buf lint && ../$(BIN)/buf breaking --against baseline.binpb
	@folder=$$(mktemp -d) && ($(PROTOC) --python_out=$$folder --mypy_out=quiet:$$folder $(PROTOS:proto/%=%)) \
	  && for file in $$(cd $$folder && find . -name '*_pb2.py*'); do cmp -s $$folder/$$file proto/$$file || { echo "$$file is not what its .proto says; run: make proto"; exit 1; }; done

bench: install ## Measure this system beside the naive one; prints ratios
	@$(BIN)/python -m benchmarks

proto: install ## Generate the code of proto/
	@$(PROTOC) --python_out=. --mypy_out=quiet:. $(PROTOS:proto/%=%)

proto-release: install ## Make today's contracts the ones that `make check` compares with
	@cd proto && ../$(BIN)/buf build -o baseline.binpb

lock: install ## Choose the newest packages that requirements*.in allow, and pin them
	@for name in requirements requirements-services; do \
	  $(UV) pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --no-annotate -o $$name.lock $$name.in; done

up: ## Start everything in containers, and say how to sign in
	@docker compose up --build --wait
	@docker compose run --rm --no-deps secrets admin

down: ## End the containers
	@docker compose down

clean: ## Delete what was installed and generated, but no stack's data
	@rm -rf $(VENV) $(CONSOLE)/node_modules $(dir $(ASSETS)) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
