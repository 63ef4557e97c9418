"""The worker of the tests of this folder: without Grappler, which takes a quarter of their time.

The long form of the tests, those of codecs, of Keras models (which do not run without it) and of binaries have it.
"""

import os
from typing import Any

import pytest
import tensorflow_federated as tff
from tensorflow_federated.python.core.backends.native import compiler
from tensorflow_federated.python.core.environments.tensorflow_backend import tensorflow_tree_transformations
from tensorflow_federated.python.core.environments.tensorflow_frontend import tensorflow_computation
from tensorflow_federated.python.core.impl.computation import computation_impl


def _compile(computation: tff.Computation) -> tff.Computation:
  """Does what TFF's own compiler does, but for the optimization of graphs."""
  desugared, _ = tensorflow_tree_transformations.replace_intrinsics_with_bodies(computation.to_building_block())
  return compiler.transform_to_native_form(computation_impl.ConcreteComputation.from_building_block(desugared))


@pytest.fixture(scope='session')
def _context(_session_worker: tuple[Any, Any]) -> Any:
  local_worker, optimizing = _session_worker
  if os.environ.get('LEANFED_STRESS'):
    return optimizing
  return tff.framework.SyncExecutionContext(
    executor_fn=local_worker.executor_factory,
    compiler_fn=_compile,
    transform_args=tensorflow_computation.transform_args,
    transform_result=tensorflow_computation.transform_result,
  )


@pytest.fixture
def worker(_module_worker: tuple[Any, Any], _context: Any) -> Any:
  """As `worker` of all tests."""
  tff.framework.set_default_context(_context)
  return _module_worker[0]
