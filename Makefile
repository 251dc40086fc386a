# The two commands of the README are `make demo` and `make test`; the others are their parts.
#
#   make install            .venv with everything; TORCH=cpu takes PyTorch's CPU build
#   make demo               the whole pipeline on synthetic faces, to demo/report.html
#   make test               the fast tests, on all cores
#   make test-all           all tests but those that need a GPU
#   make fuzz               damaged inputs through every door, for a few minutes
#   make kills              every command killed at each of its file events, and given again
#   make mutants            which small faults in the code no test finds, in about half an hour
#   make check              format, lint, types
#   make docs               docs/cli.md from --help, the tables of keys in docs
#   make web                the browser's part of `openaffect serve`, with npm
#   make benchmarks         every figure of docs/benchmarks.md

PYTHON ?= python3.11
TORCH ?=
VENV := .venv
BIN := $(VENV)/bin
BACKEND := $(if $(filter cpu,$(TORCH)),--torch-backend cpu,)

# Tests run on all cores; a file that takes long is shared out.
RUN_TESTS := $(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: install demo test test-all fuzz kills mutants check docs web benchmarks clean

install: $(VENV)/.installed

# uv resolves and installs in seconds where pip takes minutes. Weights are tried once: without
# them everything works, with OpenCV's own detector.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(BACKEND) --constraint constraints.txt --editable '.[all,dev]'
	@$(BIN)/openaffect weights yunet 2>/dev/null || echo "YuNet's weights could not be fetched now; OpenCV's Haar detector is used until \`openaffect weights yunet\` succeeds."
	@$(BIN)/python -m openaffect.web.browser
	@touch $@

demo: install
	$(BIN)/openaffect demo demo $(if $(wildcard demo/report.html),--overwrite,--resume)

test: install
	$(RUN_TESTS) $(PYTEST)

# The fast tests first, by `test`; then what it leaves out.
test-all: install test
	$(RUN_TESTS) -m "slow and not gpu and not alone" --durations=25 $(PYTEST)
	$(BIN)/python -m pytest -m "alone and not gpu" --durations=12 $(PYTEST)

fuzz: install
	cd tests && ../$(BIN)/python -m fuzz --count 100000 --minutes 5 --seed $(or $(SEED),0)

kills: install
	cd tests && ../$(BIN)/python -m kills --count $(or $(COUNT),100000) --seed $(or $(SEED),0)

mutants: install
	$(BIN)/python runs/mutants.py .mutants

check: install
	$(BIN)/ruff format --check src tests benchmarks runs docs
	$(BIN)/ruff check src tests benchmarks runs docs
	$(BIN)/mypy

docs: install
	$(BIN)/python docs/make_cli.py
	$(BIN)/python docs/make_project.py
	$(BIN)/python docs/make_training.py

web: install
	@$(BIN)/python -m openaffect.web.browser

benchmarks: install
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) demo .mypy_cache .pytest_cache .ruff_cache
