# Two commands are all that anyone needs: `make report` and `make test`. Both install what they need into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= report
WORKERS ?= 2

.PHONY: report test lint types deep bench gpu-check clean

report: $(VENV)/.installed
	$(BIN)/lrtheory report --out $(OUT)

# A file is run by one worker: its tests share compiled programs and fixtures.
test: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo

types: $(VENV)/.installed
	$(BIN)/pyright

# Slow, deep runs: more examples, longer streams. Run before a release.
deep: $(VENV)/.installed
	HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m deep tests

# Measures, prints, and writes benchmarks/results, the tables in README and docs, and docs/charts: some half hour.
bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

# Parity, laws and speed on whatever accelerator JAX finds, into docs/gpu.md. Uses what is installed and installs nothing.
gpu-check:
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m benchmarks.gpu_check

# torch first and by its exact version: a range would bring the CUDA build, several gigabytes, where a CPU build would do.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' constraints.txt)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(OUT)
