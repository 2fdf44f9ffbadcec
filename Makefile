PYTHON ?= python3
VENV := .venv
# One process per core, and one more: some tests wait for SLURM.
WORKERS := $(shell $(PYTHON) -c 'import os; print(1 + os.cpu_count())')
BIN := $(VENV)/bin
# Where it is set, every process of every job compiles the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test coverage lint site schema benchmark device audit calibration verdicts scale reliability lock test-oldest clean

help:  ## list what one can make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 13

run: $(VENV)/.installed  ## run the default study; STUDY=studies/v4.yaml runs another, ARGS="--cores 1" gives options
	@$(BIN)/repbias run $(STUDY) $(ARGS)

test: $(VENV)/.installed-test  ## run the test suite; ARGS="-m 'not slow'" or ARGS="-k ridge" runs a part of it
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

coverage: $(VENV)/.installed-test  ## run the test suite and list the lines that no test reaches (half as long again)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term --cov-fail-under=90 $(ARGS)

lint: $(VENV)/.installed-test  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/snakemake --lint

site: $(VENV)/.installed-docs  ## build the site of the documentation into site/, and run its notebooks; warnings are errors
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -q -E -W --keep-going docs site

schema: $(VENV)/.installed  ## write the references of config.yaml and of all tables anew
	REPBIAS_DOCUMENTED=1 $(BIN)/python -m repbias.pipeline.config_reference schema > workflow/schemas/config.schema.json
	REPBIAS_DOCUMENTED=1 $(BIN)/python -m repbias.pipeline.config_reference markdown > docs/configuration.md
	$(BIN)/python -m repbias.tables docs/file-formats.md

benchmark: $(VENV)/.installed  ## measure speed against rsatoolbox, himalaya and PyTorch (idle machine), and write docs/speed.md
	$(BIN)/python benchmarks/speed.py $(ARGS)
	$(BIN)/python benchmarks/training.py

device: $(VENV)/.installed  ## compare a GPU with the CPU, and measure its speed (8 minutes; without a GPU, nothing)
	$(BIN)/python benchmarks/device.py --output results/device.md $(ARGS)

audit: $(VENV)/.installed  ## simulate the audit of scores, and write docs/audit-simulations.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/audit.py $(ARGS)

calibration: $(VENV)/.installed  ## measure the error rates of all tests, and write docs/calibration.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/calibration.py $(ARGS)

verdicts: $(VENV)/.installed  ## measure how often claims get a verdict by chance, and write docs/verdicts.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/verdicts.py $(ARGS)

scale: $(VENV)/.installed  ## measure time and memory of a large recording, and write docs/scale.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/recording_scale.py $(ARGS)

reliability: $(VENV)/.installed  ## kill runs and jobs, fill disks, damage files, and write docs/reliability.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/reliability.py $(ARGS)

lock:  ## write the newest versions that pyproject.toml allows to envs/lock.txt, and to envs/repbias.yaml
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet '.[test,docs]'
	$(VENV)-lock/bin/python -m pip freeze --exclude repbias | $(PYTHON) envs/write_lock.py
	rm -rf $(VENV)-lock

test-oldest:  ## run the quick part of the tests with the oldest versions that pyproject.toml allows
	rm -rf $(VENV)-oldest
	$(PYTHON) -m venv $(VENV)-oldest
	grep -oE '"[a-z0-9-]+>=[0-9.]+' pyproject.toml | sed 's/"//; s/>=/==/' > $(VENV)-oldest/oldest.txt
	$(VENV)-oldest/bin/python -m pip install --quiet -e '.[test]' -c $(VENV)-oldest/oldest.txt
	OMP_NUM_THREADS=1 $(VENV)-oldest/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow" $(ARGS)

clean:  ## remove the environment; results stay
	rm -rf $(VENV)

# In every environment the versions of one file.
LOCK := envs/lock.txt

$(VENV)/.installed: pyproject.toml $(LOCK)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e . -c $(LOCK)
	@touch $@

$(VENV)/.installed-test: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e '.[test]' -c $(LOCK)
	@touch $@

$(VENV)/.installed-docs: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e '.[docs]' -c $(LOCK)
	@touch $@
