"""Execution contexts: how TFF computations are compiled and run on workers. Private imports of TFF live here and in `request_writer`."""

import asyncio
from collections.abc import Sequence
from concurrent import futures
import functools
import threading
from typing import Any

import tensorflow_federated as tff
from tensorflow_federated.python.core.backends.native import compiler
from tensorflow_federated.python.core.backends.native import mergeable_comp_compiler
from tensorflow_federated.python.core.environments.tensorflow_frontend import tensorflow_computation

from experiments.command import failures

_COMPILED_KEPT = 128  # TFF's own number.

# Several contexts, each in a thread of its own, need the same computations.
_compiling = threading.RLock()
_compile = functools.lru_cache(_COMPILED_KEPT)(compiler.desugar_and_transform_to_native)
_split = functools.lru_cache(_COMPILED_KEPT)(mergeable_comp_compiler.compile_to_mergeable_comp_form)


def build_execution_context(executor_factory: tff.framework.ExecutorFactory) -> tff.framework.SyncExecutionContext:
  """Returns a context that runs TFF computations on one worker, compiled and converted as TFF's own default does."""
  return tff.framework.SyncExecutionContext(
    executor_fn=executor_factory,
    compiler_fn=_compile_once,
    transform_args=tensorflow_computation.transform_args,
    transform_result=tensorflow_computation.transform_result,
  )


def build_spread_context(
  contexts: Sequence[tff.framework.AsyncContext], num_groups: int | None = None
) -> tff.framework.MergeableCompExecutionContext:
  """Returns a context that shares out the clients of a computation between contexts and merges their aggregates.

  It runs what `compile_to_mergeable` compiles, and without clients repeats the computation for every group.

  Args:
    contexts: Where the groups are computed; if there are more groups, one after the other.
    num_groups: Into how many groups, of equal size, the clients are split; one for each context if `None`. With one
      context they are merged in their order, with several in the order in which they are finished.
  """
  return tff.framework.MergeableCompExecutionContext(
    contexts, compiler_fn=compile_to_mergeable, num_subrounds=num_groups
  )


def compile_to_mergeable(computation: tff.Computation) -> tff.framework.MergeableCompForm:
  """Splits a computation where clients' values are aggregated; again is free.

  Raises:
    ValueError: If one aggregation needs the result of another.
  """
  with _compiling:
    return _split(computation)


def check_mergeable(computation: tff.Computation) -> None:
  """Raises `UsageError` if a computation cannot be split where clients' values are aggregated."""
  try:
    compile_to_mergeable(computation)
  except (ValueError, TypeError) as error:
    reason = str(error).partition('\n')[0]
    if 'dependent on another' in reason:
      reason = 'it aggregates what clients made of an earlier aggregate of the same round, and workers merge once'
    raise failures.UsageError(
      f'this computation cannot be split between workers or groups: {reason}; use --runtime=worker without --deterministic'
    ) from error


def _compile_once(computation: tff.Computation) -> tff.Computation:
  with _compiling:
    return _compile(computation)


class InOwnThread(tff.framework.AsyncContext):
  """Runs computations in a thread, as TFF blocks the thread it waits for a worker in: workers would take turns."""

  def __init__(self, context: tff.framework.SyncExecutionContext):
    self._context = context
    self._thread = futures.ThreadPoolExecutor(1)

  async def invoke(self, comp: tff.Computation, arg: Any) -> Any:
    # A round fails with its first error: nobody asks for those of the other workers, and asyncio would print them.
    asyncio.current_task().add_done_callback(lambda task: task.cancelled() or task.exception())
    return await asyncio.get_running_loop().run_in_executor(self._thread, self._context.invoke, comp, arg)
