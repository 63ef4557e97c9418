# make run    sets everything up and shows what a tenth of the upload buys, on real text: RUN_DIR/compared/index.html
# make test   sets everything up, lints and passes all tests

PYTHON_IN_VENV := .venv/bin/python
RUN_DIR ?= runs/headline
PRETRAINED := runs/pretrained/transformer

.PHONY: setup run test stress lock docs build-files bazel-test benchmark format

setup:
	@tools/setup.sh

run: setup
	$(PYTHON_IN_VENV) -m experiments.pretrain --model=transformer --steps=800 --output_dir=$(PRETRAINED)
	$(PYTHON_IN_VENV) -m experiments.sweep --sweep=experiments/sweeps/headline.toml --output_dir=$(RUN_DIR)
	$(PYTHON_IN_VENV) -m experiments.compare --runs='$(RUN_DIR)/*' --output_dir=$(RUN_DIR)/compared

test: setup
	$(PYTHON_IN_VENV) -m ruff check .
	$(PYTHON_IN_VENV) -m ruff format --check .
	$(PYTHON_IN_VENV) -m pytest -n 3 --max-worker-restart=0 --dist loadfile tests

# The long form of the laws that codecs keep, and two hundred kills.
stress: setup
	HYPOTHESIS_PROFILE=stress LEANFED_STRESS=1 $(PYTHON_IN_VENV) -m pytest -n 2 --dist loadfile -o faulthandler_timeout=3600 tests/compression tests/optimizers tests/experiments/command/test_spec.py tests/experiments/test_resume.py

benchmark: setup
	$(PYTHON_IN_VENV) -m experiments.benchmark --what=training

# Regenerates the pins from requirements.in; needs an installed .venv for uv.
lock: setup
	tools/lock.sh

# Rewrites docs/reference, and what --algorithm=help and the like print, from docstrings, flags and columns.
docs: setup
	$(PYTHON_IN_VENV) -m tools.reference

build-files: setup
	$(PYTHON_IN_VENV) -m tools.build_files

bazel-test: setup
	tools/bazel_test.sh

format: setup
	$(PYTHON_IN_VENV) -m ruff check --fix .
	$(PYTHON_IN_VENV) -m ruff format .
