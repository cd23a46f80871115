# make demo: look at pictures and answers in demo/.  make test: everything that must hold.
.PHONY: demo test clean

PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
READY := .venv/.ready

demo: $(READY)
	@.venv/bin/python -m deixis.cli.demo demo

test: $(READY)
	@.venv/bin/ruff check src tests benchmarks
	@.venv/bin/mypy
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -n auto --maxprocesses 8 --dist loadfile

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python: expected 3.11, 3.12 or 3.13 on the PATH, got none of them." >&2; exit 2; }
	@echo "Making .venv with $(PYTHON) ..."
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install -qq --disable-pip-version-check \
		-c constraints.txt -e '.[dev,train,video,metrics,data]'
	@touch $@

clean:
	@rm -rf .venv demo dist build
