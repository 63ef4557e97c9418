"""A federated computation split into functions of this process: what the server does before, each client, and after.

TFF's map-reduce form does the splitting: one broadcast, one level of sums. Rounds fit it, and evaluations, once they also
return the state that they were given. Federated select does not, nor a second aggregation.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from experiments.command import failures
from experiments.workers import graph_function

Leaves = list[tf.Tensor]


class Plain:
  """A computation without clients."""

  def __init__(self, computation: tff.framework.ConcreteComputation):
    """Takes one without placements, or one without arguments whose result is at the server."""
    self._result_type = computation.type_signature.result  # That of what is split forgets containers.
    if isinstance(self._result_type, tff.FederatedType):
      computation = tff.backends.mapreduce.get_state_initialization_computation(computation, _grappler())
    self._compute = graph_function.GraphFunction(computation)

  def __call__(self, argument: Any) -> Any:
    """Returns the result, its leaves tensors."""
    leaves = graph_function.flatten(argument, self._compute.parameter)
    return graph_function.pack(self._compute(*leaves), self._result_type)


class Split:
  """A computation of a value at the server and one a client.

  Its result is at the server: a state like the argument's, and something else, or something else alone.
  """

  def __init__(self, computation: tff.framework.ConcreteComputation):
    """Splits a computation of two arguments; raises errors of TFF and `ValueError` if that cannot be done."""
    self._keeps_state = _returns_state(computation)
    whole = computation if self._keeps_state else _returning_state(computation)
    form = tff.backends.mapreduce.get_map_reduce_form_for_computation(whole, grappler_config=_grappler())
    _check_sums(form)
    load, count = graph_function.GraphFunction, graph_function.num_leaves
    sent, reported = count(form.prepare.type_signature.result), count(form.report.type_signature.result)
    sums, update = map(count, form.accumulate.type_signature.parameter.children())
    self._prepare, self._zero = load(form.prepare, holds=True), load(form.zero, holds=True)
    self._work = load(form.work, held=[sent], holds=True)
    self._accumulate = load(form.accumulate, held=[sums, update], holds=True)
    self._report, self._update = load(form.report, held=[sums], holds=True), load(form.update, held=[reported])
    self._state_type = form.prepare.type_signature.parameter
    self._client_type = form.work.type_signature.parameter[0]
    self._result_type = computation.type_signature.result
    self._num_state = graph_function.num_leaves(self._update.result[0])

  def __call__(self, state: Any, clients: Sequence[Any], sum_up: Callable[..., tf.Tensor]) -> Any:
    """Returns the result, the leaves of a state tensors.

    Args:
      state: The value at the server.
      clients: That of each client.
      sum_up: Takes zero, a function from a client's leaves to its update, a function that adds an update to a sum, and the
        clients' leaves; returns the sum. Sums and updates are held, see `held_leaves`.
    """
    at_server = graph_function.flatten(state, self._state_type)
    sent = self._prepare(*at_server)
    given = [graph_function.flatten(client, self._client_type) for client in clients]
    total = sum_up(
      self._zero(),
      lambda leaves: self._work(*leaves, sent),
      self._accumulate,
      given,
    )
    results = self._update(*at_server, self._report(total))
    return self._packed(results)

  def _packed(self, results: Leaves) -> Any:
    state, rest = results[: self._num_state], [leaf.numpy() for leaf in results[self._num_state :]]
    if not self._keeps_state:
      return graph_function.pack(rest, self._result_type)
    return graph_function.pack([*state, *rest], self._result_type)


def load(computation: tff.framework.ConcreteComputation) -> Plain | Split:
  """Returns what computes in this process; raises `UsageError` if nothing can."""
  parameter = computation.type_signature.parameter
  has_clients = isinstance(parameter, tff.StructType) and any(
    isinstance(each, tff.FederatedType) and each.placement == tff.CLIENTS for each in parameter.children()
  )
  try:
    return Split(computation) if has_clients else Plain(computation)
  except (TypeError, ValueError, tff.backends.mapreduce.compiler.MapReduceFormCompilationError) as error:
    reason = str(error).partition('\n')[0]
    if 'not currently reducible' in reason:
      reason = (
        'it sends clients slices of the model, as --download=select(...), --trainable=width(...) and tiers of ranks do'
      )
    raise failures.UsageError(
      f'this computation cannot be split into rounds of this process ({reason}): use --runtime=worker, in a script suite.runtime("worker")'
    ) from error


def sends_slices(computation: tff.framework.ConcreteComputation) -> bool:
  """Whether clients are sent slices of what the server holds, by `tff.federated_select`."""
  found = set()

  def note(block: Any) -> tuple[Any, bool]:
    if isinstance(block, tff.framework.Intrinsic):
      found.add(block.uri)
    return block, False

  tff.framework.transform_postorder(computation.to_building_block(), note)
  return 'federated_select' in found


def _check_sums(form: tff.backends.mapreduce.MapReduceForm) -> None:
  """Raises `ValueError` for secure sums, which are sums of another kind."""
  if any(graph_function.num_leaves(each) for each in form.work.type_signature.result[1:]):
    raise ValueError('it has secure sums')


def _returns_state(computation: tff.framework.ConcreteComputation) -> bool:
  """Whether the result is a pair of a state like that of the argument and something else."""
  parameter, result = computation.type_signature.parameter, computation.type_signature.result
  return isinstance(result, tff.StructType) and len(result) == 2 and parameter[0].is_assignable_from(result[0])


def _returning_state(computation: tff.framework.ConcreteComputation) -> tff.framework.ConcreteComputation:
  """Returns what also returns the state that it is given."""
  state, clients = computation.type_signature.parameter

  @tff.federated_computation(state, clients)
  def whole(state, clients):
    return state, computation(state, clients)

  return whole


def _grappler() -> tf.compat.v1.ConfigProto:
  """Leaves graphs as they are: TFF's own pass takes long, and its temporary variables collide between threads."""
  config = tf.compat.v1.ConfigProto()
  config.graph_options.rewrite_options.disable_meta_optimizer = True
  return config
