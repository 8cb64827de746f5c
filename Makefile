# Two commands are all that anyone needs: `make report` and `make test`. Both install what they need into .venv.

PYTHON ?= python3
CORE_PYTHON ?= python3.12
VENV := .venv
BIN := $(VENV)/bin
OUT ?= report
WORKERS ?= 2
PYTEST_ARGS := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
CORE_TESTS ?= $(wildcard $(addprefix tests/,rules effective wrappers schedules spec dims quadratic rescaling explain explaining test_sharding.py))
# The quick part, for a look at a newer Python: of each room of the core the test that goes over all of it.
CORE_FIRST := tests/rules/test_contract.py tests/dims/test_rules.py tests/explaining/test_wrapped.py tests/schedules/test_transforms.py
# Bytecode is kept: five thousand tests are imported by every worker.
unexport PYTHONDONTWRITEBYTECODE
# pip would make bytecode of all that it installs, a minute and a half; what is imported makes its own, a part of it.
INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile

.PHONY: report test test-core test-core-first lint types deep bench atlas gpu-check docs clean

report: $(VENV)/.installed
	$(BIN)/lrtheory report --out $(OUT)

# A file is run by one worker: its tests share compiled programs and fixtures. tests/conftest.py puts long files first, and says
# which are about bits, rounding, memory or time: those compile as people do, the others without XLA's optimiser, in half of the time.
test: $(VENV)/.installed
	XLA_FLAGS="$$($(BIN)/python -m lrtheory.compiling)" $(BIN)/python -m pytest $(PYTEST_ARGS) -m "not deep and not optimised"; \
	  first=$$?; $(BIN)/python -m pytest $(PYTEST_ARGS) -m "not deep and optimised" tests && exit $$first

# What needs jax and numpy alone, on a newer Python and the newest JAX: what needs torch is skipped, with the reason.
test-core: $(VENV)-core/.installed
	$(VENV)-core/bin/python -m pytest $(PYTEST_ARGS) -o addopts="--strict-markers --import-mode=importlib" \
	  $(CORE_TESTS)

test-core-first:
	$(MAKE) test-core CORE_TESTS="$(CORE_FIRST)"

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo

types: $(VENV)/.installed
	$(BIN)/pyright

# Slow, deep runs: more examples, longer streams. Run before a release.
deep: $(VENV)/.installed
	HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest $(PYTEST_ARGS) -m deep

# Measures, prints, and writes benchmarks/results, the tables in README and docs, and docs/charts: some half hour.
bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

# Reads and judges public optimizers, into docs/atlas/atlas.json: hours from nothing, and what was read before is kept in .atlas.
atlas: $(VENV)/.installed .atlas/.installed
	$(BIN)/python -W ignore -m benchmarks.atlas

.atlas/.installed: benchmarks/atlas/packages.txt
	rm -rf .atlas/site-packages
	$(BIN)/python $(INSTALL) --no-deps --target .atlas/site-packages -r $<
	touch $@

# Parity, laws and speed on whatever accelerator JAX finds, into docs/gpu.md. Uses what is installed and installs nothing.
# torch and JAX share the memory of the device: neither may take most of it at the start.
gpu-check:
	XLA_PYTHON_CLIENT_PREALLOCATE=false $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m benchmarks.gpu_check

# The site, into docs/_build/html. Warnings are errors; nothing is executed, and nothing fetched while it is built.
docs: $(VENV)-docs/.installed
	$(VENV)-docs/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	$(VENV)-docs/bin/python docs/check_links.py docs/_build/html

# torch first and by its exact version: a range would bring the CUDA build, several gigabytes, where a CPU build would do.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) $$(grep '^torch==' constraints.txt)
	$(BIN)/python $(INSTALL) -c constraints.txt -e '.[dev]'
	touch $@

$(VENV)-core/.installed: pyproject.toml constraints-core.txt
	$(CORE_PYTHON) -m venv $(VENV)-core
	$(VENV)-core/bin/python $(INSTALL) -c constraints-core.txt -e '.[core-test]'
	touch $@

# Of its own, so that building reads neither torch nor optax; what .venv has already, if it is there, is not installed again.
$(VENV)-docs/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-docs
	if [ -e $(VENV)/.installed ]; then \
	  $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	    > "$$($(VENV)-docs/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shared.pth"; fi
	$(VENV)-docs/bin/python $(INSTALL) -c constraints.txt -e '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-core $(VENV)-docs docs/_build $(OUT)
