# make demo: the whole method on real digits, in minutes; make test: all tests. Each makes its own environment.
PYTHON ?= python3
VENV ?= .venv

$(VENV)/installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("s4jax needs Python 3.11 or 3.12, this is " + sys.version.split()[0] + ": make PYTHON=python3.12" if not (3, 11) <= sys.version_info[:2] <= (3, 12) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --editable '.[test]'
	touch $@

.PHONY: demo test benchmarks clean
demo: $(VENV)/installed
	$(VENV)/bin/python -m s4jax.main --config=configs/digits.py --workdir=runs/digits

test: $(VENV)/installed
	$(VENV)/bin/python -m pytest

benchmarks: $(VENV)/installed
	for family in vit swin shunted; do $(VENV)/bin/python -m benchmarks.supernet_step --family=$$family || exit 1; done
	$(VENV)/bin/python -m benchmarks.scoring
	$(VENV)/bin/python -m benchmarks.neighbour_search
	$(VENV)/bin/python -m benchmarks.loading
	$(VENV)/bin/python -m benchmarks.clip scoring
	$(VENV)/bin/python -m benchmarks.clip memory

clean:
	rm -rf $(VENV) build *.egg-info
