# `make demo` and `make test` need Python >= 3.11 with venv, and nothing else.
PYTHON ?= python3
CORES ?= all
BIN := .venv/bin
READY := .venv/.installed

.PHONY: demo test lint format bench clean

demo: $(READY)
	$(BIN)/snakemake --cores $(CORES)
	@echo "Look at results/demo/index.html"

# On all cores, a file to each; then, one by one, what talks to SLURM.
test: $(READY)
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slurm"
	$(BIN)/python -m pytest -m slurm

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt Snakefile rules

bench: $(READY)
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "metann needs Python >= 3.11, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps -e .
	touch $@

clean:
	rm -rf .venv .snakemake
