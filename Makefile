PYTHON ?= python3
BIN := .venv/bin
ROOMS := utils recipes launch trainers evaluation

.PHONY: quickstart setup check test docs bench wheel clean

quickstart: setup  ## set up, and train the built-in model
	$(BIN)/fai-rl-train --recipe recipes/training/sft/tiny_cpu.yaml --overwrite

setup: .venv/.ready  ## everything needed, in .venv

# The lock names exact versions; torch's CPU build satisfies its pin where pip is offered one.
.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; set PYTHON=python3.11")'
	@echo "setting up .venv (a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@mkdir -p .types/fai_rl && for room in $(ROOMS); do ln -sfn ../../$$room .types/fai_rl/$$room; done
	@touch $@

check: setup  ## style, types, import rules, spelling, generated docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(ROOMS:%=.types/fai_rl/%)
	PYTHONPATH=.types $(BIN)/lint-imports --no-cache
	$(BIN)/codespell
	$(BIN)/python -m docs.generate --check

test: setup  ## all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

docs: setup  ## write the generated reference pages
	$(BIN)/python -m docs.generate

bench: setup  ## measure against a hand-written TRL script
	$(BIN)/python benchmarks/startup.py

wheel: setup  ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

clean:
	rm -rf .venv .types build dist *.egg-info
