# make demo | test | lint | bench: each makes .venv by itself, and again when pyproject.toml has changed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help venv tools eda demo test lint bench docs clean

PYTHON ?= python3
BIN := .venv/bin
TOOLS := iverilog verilator yosys
EXAMPLE := examples/mnist_mlp

# as_root COMMAND: runs it if we are root or sudo asks for no password, and fails otherwise.
define as_root
as_root() {
	if [ "$$(id -u)" = 0 ]; then DEBIAN_FRONTEND=noninteractive "$$@"
	elif command -v sudo >/dev/null; then sudo -n env DEBIAN_FRONTEND=noninteractive "$$@"
	else return 1; fi
}
endef

help:
	@echo 'make demo    compile the MNIST network to Verilog and simulate it on 1000 images'
	echo 'make test    all tests, RTL included (installs Icarus, Verilator, Yosys and OpenSTA with apt-get if they are missing)'
	echo 'make lint    ruff and mypy'
	echo 'make bench   the benchmarks'
	echo 'make docs    the documentation, to build/site'
	echo 'make clean   remove build/ and caches, but not .venv'

venv: .venv/.stamp

# Editable, so that changed and new modules are seen at once; only pyproject.toml calls for a new install.
.venv/.stamp: pyproject.toml
	@if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
		echo 'make: $(PYTHON) is missing or older than 3.11; name another with `make PYTHON=python3.12 ...`' >&2
		exit 1
	fi
	if [ ! -x $(BIN)/pip ]; then
		if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then
			$(as_root)
			command -v apt-get >/dev/null && as_root apt-get update -qq && as_root apt-get install -y -qq python3-venv || {
				echo 'make: $(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv' >&2
				exit 1
			}
		fi
		echo 'making .venv'
		$(PYTHON) -m venv .venv
	fi
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

tools:
	@missing=; for tool in $(TOOLS); do command -v $$tool >/dev/null || missing+=" $$tool"; done
	[ -n "$$missing" ] || exit 0
	echo "installing$$missing"
	$(as_root)
	if command -v apt-get >/dev/null; then
		as_root apt-get update -qq && as_root apt-get install -y -qq --no-install-recommends $$missing || true
	fi
	for tool in $$missing; do
		command -v $$tool >/dev/null && continue
		echo "make: the tests run the generated Verilog and need $$tool, which cannot be installed from here;" >&2
		echo "      on Debian, as root: apt-get install$$missing" >&2
		exit 1
	done

# What `sccc report --synth` needs: Yosys and OpenSTA as packages, the OSU 0.18 um Liberty file in ~/.cache/sccc/eda.
eda: venv
	@$(BIN)/sccc setup-eda

demo: venv
	@set -x
	mkdir -p build
	$(BIN)/sccc $(EXAMPLE)/mnist_mlp_tanh.onnx -o build/mnist_mlp.v --length 32 --calibrate $(EXAMPLE)/mnist_sample.npz
	$(BIN)/sccc simulate $(EXAMPLE)/mnist_mlp_tanh.onnx --data $(EXAMPLE)/mnist_sample.npz --length 32

test: venv tools eda
	$(BIN)/python -m pytest -n 2

# mypy knows nothing of package-dir: show it the packages as they are imported, and name the files as they lie.
lint: venv
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/mypy
	mkdir -p build/mypy/sccc
	ln -s $(CURDIR)/sccc/* $(CURDIR)/passes $(CURDIR)/backends $(CURDIR)/grammar build/mypy/sccc/
	$(BIN)/mypy -p sccc | sed -E 's#^build/mypy/(sccc/(passes|backends|grammar)/)?#\2/#; s#^/##'

bench: venv
	$(BIN)/python benchmarks/run.py

# Its timing diagrams are runs in Icarus.
docs: venv tools
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:
	rm -rf build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find sccc passes backends grammar tests examples -name __pycache__ -prune -exec rm -rf {} +
