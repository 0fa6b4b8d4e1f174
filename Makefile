# make demo: the whole method on real digits, in minutes. Every target makes its own environment first.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python -m

.PHONY: demo lint format quick test aot faults docs dist benchmarks clean

demo: $(VENV)/installed
	$(RUN) s4jax.main --config=configs/digits.py --workdir=runs/digits

# layout, lint, types: nothing is changed
lint: $(VENV)/installed
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy

# what `make lint` can mend by itself
format: $(VENV)/installed
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

# every test but the whole runs
quick: $(VENV)/installed
	$(RUN) pytest -m 'not slow'

test: $(VENV)/installed
	$(RUN) pytest

# small programs compiled for a TPU that is not there, in an environment of its own with libtpu
aot: $(VENV)-aot/installed
	JAX_PLATFORMS=cpu TPU_SKIP_MDS_QUERY=1 $(VENV)-aot/bin/python -m pytest -n 0 tests/benchmarks/on_tpu.py

$(VENV)-aot/installed: setup.cfg setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)-aot
	$(VENV)-aot/bin/python -m pip install --quiet --editable '.[test,aot]'
	touch $@

# the site, into build/site; it fails at a warning, and needs no network
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict --quiet
	@echo 'build/site/index.html'

# kills, stops, damaged files, full disks; hours; goes on where it was; writes docs/reliability.md
faults: $(VENV)/installed
	$(VENV)/bin/python tests/faults/suite.py --folder=runs/faults

dist: $(VENV)/installed
	$(RUN) build

benchmarks: $(VENV)/installed
	for family in vit swin shunted; do $(RUN) benchmarks.supernet_step --family=$$family || exit 1; done
	$(RUN) benchmarks.scoring
	$(RUN) benchmarks.neighbour_search
	$(RUN) benchmarks.loading
	$(RUN) benchmarks.clip scoring
	$(RUN) benchmarks.clip memory

$(VENV)/installed: setup.cfg setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("s4jax needs Python 3.11 or 3.12, this is " + sys.version.split()[0] + ": make PYTHON=python3.12" if not (3, 11) <= sys.version_info[:2] <= (3, 12) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --editable '.[test]'
	$(VENV)/bin/python -m pip install --quiet --no-deps 'jax2onnx>=0.17.1,<0.18' # see setup.cfg
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
