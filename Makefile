# make run    sets everything up and trains a federated language model on real text
# make test   sets everything up, lints and passes all tests

PYTHON_IN_VENV := .venv/bin/python
RUN_DIR ?= runs/quickstart

.PHONY: setup run test stress lock build-files bazel-test benchmark format

setup:
	@tools/setup.sh

run: setup
	$(PYTHON_IN_VENV) -m experiments.language_model --flagfile=experiments/flagfiles/quickstart.flags --output_dir=$(RUN_DIR)

test: setup
	$(PYTHON_IN_VENV) -m ruff check .
	$(PYTHON_IN_VENV) -m ruff format --check .
	$(PYTHON_IN_VENV) -m pytest -n 2 --dist loadfile tests

# The long form of the laws that codecs keep.
stress: setup
	HYPOTHESIS_PROFILE=stress LEANFED_STRESS=1 $(PYTHON_IN_VENV) -m pytest -n 2 --dist loadfile tests/compression tests/optimizers tests/experiments/test_spec.py

benchmark: setup
	$(PYTHON_IN_VENV) -m experiments.benchmark --what=training

# Regenerates the pins from requirements.in; needs an installed .venv for uv.
lock: setup
	tools/lock.sh

build-files: setup
	$(PYTHON_IN_VENV) tools/build_files.py

bazel-test: setup
	tools/bazel_test.sh

format: setup
	$(PYTHON_IN_VENV) -m ruff check --fix .
	$(PYTHON_IN_VENV) -m ruff format .
