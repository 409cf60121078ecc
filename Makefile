# Each target works from a fresh clone: it makes .venv from the locked requirements and builds the native core first.
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
# ARGS is for the target that was named, not for another one that it runs.
MAKEOVERRIDES =
unexport ARGS
SHELL := /bin/bash -eu -o pipefail

PYTHON = .venv/bin/python
CORE = $(wildcard cdcd/binlog/core/*.pyx cdcd/binlog/core/*.pxd cdcd/binlog/core/*.h cdcd/binlog/core/*.c)
DOCS = build/docs-venv/bin/python
COMPILE = $(PYTHON) -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

# One at a time, so that two runs in one clone do not build over each other.
.PHONY: venv
venv: ## .venv with all dependencies and the native core; done by itself before every other target
	@mkdir -p build
	@command -v flock >/dev/null || { echo "the command 'flock' is missing: apt-get install util-linux" >&2; exit 1; }
	@flock build/venv.lock $(MAKE) --no-print-directory -s .venv/.core

.venv/.dependencies: requirements/dev.lock
	@echo "making .venv"
	@python=$$(deploy/find-python) && rm -rf .venv && "$$python" -m venv .venv
	@$(PYTHON) -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/dev.lock
	@touch $@

.venv/.core: .venv/.dependencies pyproject.toml setup.py $(CORE)
	@command -v gcc >/dev/null || { echo "the command 'gcc' is missing: apt-get install gcc libc6-dev" >&2; exit 1; }
	@echo "building the native core"
	@$(PYTHON) -m pip --disable-pip-version-check install --no-deps --no-build-isolation --no-index -e . >build/core.log 2>&1 \
		|| { cat build/core.log >&2; exit 1; }
	@touch $@

.PHONY: servers
servers: venv
	@$(PYTHON) deploy/stack check

# The tests also talk to an old MySQL, which only npm can fetch.
.PHONY: flavours
flavours: servers
	@$(PYTHON) deploy/stack check mysql --flavour mysql-5.6

.PHONY: demo
demo: venv servers ## a fleet of three servers, a move, a kill -9, a join, and the proof; KEEP=1 leaves all running
	@$(PYTHON) -m deploy.demo $(if $(KEEP),--keep) $(ARGS)

.PHONY: test
test: venv flavours ## unit and integration tests against real servers, and a short run of the fault tests
	@$(PYTHON) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: prove
prove: venv flavours ## the full counts of what each issue must show, one JSON line an item
	@$(PYTHON) -m tests.prove $(ARGS)

.PHONY: check
check: venv ## format, lint, types, import rules
	@$(PYTHON) -m ruff format --check --quiet || { $(PYTHON) -m ruff format --diff --quiet; exit 1; }
	@$(PYTHON) -m ruff check --quiet
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports --no-logo

.PHONY: bench
bench: venv servers ## measure end to end beside its floors; table on the terminal, JSON in build/bench.json
	@$(PYTHON) -m tests.bench $(ARGS)

.PHONY: fuzz
fuzz: venv ## mutated events against the core with sanitizers, 10 minutes (ARGS="--seconds 3600 --seed 7"); one JSON line
	@$(PYTHON) -m tests.fuzz $(ARGS)

# What builds the pages is no part of .venv: no test needs it.
build/docs-venv/.dependencies: requirements/docs.lock
	@echo "making build/docs-venv"
	@mkdir -p build && python=$$(deploy/find-python) && rm -rf build/docs-venv && "$$python" -m venv build/docs-venv
	@$(DOCS) -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/docs.lock
	@touch $@

.PHONY: docs
docs: build/docs-venv/.dependencies ## the documentation as a site in build/docs; a link that leads nowhere is an error
	@rm -rf build/docs
	@$(DOCS) -m sphinx -q -E -W --keep-going -b html -d build/docs-venv/doctrees -c docs . build/docs
	@cp build/docs/README.html build/docs/index.html && echo build/docs/index.html

.PHONY: lock
lock: venv ## resolve the newest allowed dependencies into requirements/*.lock
	@$(COMPILE) --upgrade -o requirements/runtime.lock pyproject.toml
	@$(PYTHON) deploy/lock-input.py dev | $(COMPILE) --upgrade -c requirements/runtime.lock -o requirements/dev.lock -
	@$(PYTHON) deploy/lock-input.py docs | $(COMPILE) --upgrade -c requirements/dev.lock -o requirements/docs.lock -
	@$(PYTHON) deploy/lock-input.py audit | $(COMPILE) --upgrade -o requirements/audit.lock -

# In an environment of its own: what looks for weak packages shares none with what it looks at.
build/audit-venv/.dependencies: requirements/audit.lock
	@python=$$(deploy/find-python) && rm -rf build/audit-venv && "$$python" -m venv build/audit-venv
	@build/audit-venv/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/audit.lock
	@touch $@

.PHONY: audit
audit: build/audit-venv/.dependencies ## known vulnerabilities in what requirements/*.lock pin; status 6 where the advisory service does not answer
	@build/audit-venv/bin/python deploy/audit.py $(ARGS)

.PHONY: sbom
sbom: build/audit-venv/.dependencies ## what cdcd is installed with, with hashes: CycloneDX JSON in build/sbom.json, validated
	@build/audit-venv/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --validate -o build/sbom.json requirements/runtime.lock
	@echo "build/sbom.json"

.PHONY: clean
clean: ## remove .venv and everything built; servers and downloads of deploy/stack stay
	@rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache cdcd/binlog/core/native.c cdcd/binlog/core/*.so
	@find cdcd deploy tests -name __pycache__ -type d -prune -exec rm -rf {} +
