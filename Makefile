# Two commands matter: `make demo` and `make test`. Both set up what they need, once.
#
#   make test PYTHON=python3.12     on another Python, in an environment of its own
#   make test ARGS="-k diff -x"     arguments for pytest
#   make bench BENCH="capture check"  some benches only; `make bench BENCH=--help` lists them

PYTHON ?=
ARGS ?=
BENCH ?=
OUT ?= build/rpm
VENV ?= $(if $(PYTHON),.venv-$(notdir $(PYTHON)),.venv)
PY := $(VENV)/bin/python

export PYTHON
.SILENT:
.DELETE_ON_ERROR:
.PHONY: help demo test test-rungless lint format bench techniques rpm rpm-check central-check report-check venv pins clean

help: ## This list
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.run ## Watch this very host from a folder, and show the alerts as they come
	$(PY) -m hostguardd.demo $(ARGS)

test: $(VENV)/.dev ## The whole test suite
	tools/system-packages test
	tools/log-samples
	$(PY) -m pytest $(ARGS)

test-rungless: $(VENV)/.dev ## The whole suite as nobody, and as root with fewer capabilities
	tools/without-rungs nobody $(ARGS)
	tools/without-rungs bare $(ARGS)

lint: $(VENV)/.dev ## ruff, mypy --strict, import-linter
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-logo

format: $(VENV)/.dev ## Put the code in order as `make lint` wants it
	$(PY) -m ruff check --fix-only --quiet .
	$(PY) -m ruff format --quiet .

bench: $(VENV)/.dev ## Measure against aide, find and openssl, side by side
	tools/system-packages bench
	$(PY) -m tests.bench $(BENCH)

techniques: $(VENV)/.dev ## Do every technique on a booted host, and write docs/techniques.md from what it told
	tools/system-packages test
	rm -rf .techniques
	# The table tells of what failed, too; whoever asked for it hears it all the same.
	HOSTGUARD_DAY=.techniques $(PY) -m pytest tests/system/test_techniques.py $(ARGS); told=$$?; \
	$(PY) -m tests.system.table .techniques && rm -rf .techniques && exit $$told

rpm: $(VENV)/.dev ## The RPM and its source package, in build/rpm
	tools/system-packages rpm
	packaging/build $(abspath $(PY)) $(OUT)

rpm-check: $(VENV)/.dev ## rpmlint, and what the RPM does on a host of its own, booted by systemd
	tools/system-packages rpm
	tools/system-packages test
	HOSTGUARD_RPM=1 $(PY) -m pytest tests/system/test_rpm.py $(ARGS)

central-check: $(VENV)/.dev ## The log host's rsyslog and PostgreSQL (packaging/central), run for real
	tools/system-packages central
	HOSTGUARD_CENTRAL=1 $(PY) -m pytest tests/system/test_central.py $(ARGS)

report-check: $(VENV)/.dev ## The HTML report of an inquiry in a real browser
	tools/system-packages report
	HOSTGUARD_REPORT=1 $(PY) -m pytest tests/system/test_report_page.py $(ARGS)

venv: $(VENV)/.dev ## Only the set-up

pins: $(VENV)/.dev ## Write constraints.txt anew from the newest versions pyproject.toml allows
	tools/pins $(PY) > constraints.new
	mv constraints.new constraints.txt
	tools/vendored $(abspath $(PY)) > requirements.new
	mv requirements.new packaging/requirements.txt

clean: ## Remove everything that was made here
	rm -rf .venv .venv-* .demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf .import_linter_cache
	find hostguardd tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A folder's stamps say what stands in it. Running needs few packages; the tools come when asked for.
$(VENV)/.run: pyproject.toml constraints.txt tools/venv
	tools/venv $(VENV)
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt tools/venv
	tools/venv $(VENV) dev
	touch $@ $(VENV)/.run
