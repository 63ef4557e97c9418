"""One TFF worker that some other program runs, reached through a Unix socket: every way to lose it ends in an error."""

from collections.abc import Callable
from typing import Any

import grpc
import tensorflow_federated as tff

from experiments.workers import execution
from experiments.workers import worker_connection

_DISPOSE_SECONDS = 1.0  # A worker that is not busy takes milliseconds.
_LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class WorkerError(RuntimeError, grpc.RpcError):
  """A worker is gone, or could not do what it was asked to."""


class RemoteWorker:
  """A connection to a worker, and the execution context that computes on it.

  Attributes:
    address: The worker's: `unix:` and the path of a socket.
    context: Computes on this worker, in a thread of its own; for TFF's mergeable context.
  """

  def __init__(self, address: str):
    """Connects; whether anybody listens, `answers` tells."""
    self.address = address
    self._channel = worker_connection.connect(address)
    self._stub = worker_connection.Stub(self._intercepted(self._channel))
    self._executors = worker_connection.ClosingExecutorFactory(
      lambda cardinalities: worker_connection.build_executor(self._stub, cardinalities)
    )
    self._context = execution.build_execution_context(self._executors)
    self.context = execution.InOwnThread(self._context)

  def answers(self, timeout_seconds: float, may_be_starting: bool = False) -> bool:
    """Whether the worker gives a sign of life within this time; see `worker_connection.answers`."""
    return worker_connection.answers(self._channel, timeout_seconds, may_be_starting)

  def invoke(self, computation: tff.Computation, *arguments: Any) -> Any:
    """Runs a computation on this worker alone; raises `WorkerError` if it fails."""
    with tff.framework.get_context_stack().install(self._context):
      return computation(*arguments)

  def hang_up(self) -> None:
    """Makes every computation that waits for the worker, and every later one, raise `WorkerError` at once.

    Any thread may call it, again too.
    """
    self._channel.close()

  def dispose(self, timeout_seconds: float) -> None:
    """Hangs up, and frees what this left in the worker, if it gives a sign of life within this time."""
    self.hang_up()
    with worker_connection.connect(self.address) as channel:
      if worker_connection.answers(channel, timeout_seconds):
        self._stub.move_to(self._intercepted(channel))
        self._executors.close()

  def _intercepted(self, channel: grpc.Channel) -> grpc.Channel:
    return grpc.intercept_channel(channel, _FailAtOnce(self.address))


class _FailAtOnce(grpc.UnaryUnaryClientInterceptor):
  """Turns the failure of a request into a `WorkerError`; TFF repeats a request to a worker that is gone for ever."""

  def __init__(self, address: str):
    self._address = address

  def intercept_unary_unary(
    self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request: Any
  ) -> Any:
    if 'Dispose' in client_call_details.method:
      client_call_details = client_call_details._replace(timeout=_DISPOSE_SECONDS)
    outcome = continuation(client_call_details, request)
    error = outcome.exception()
    if error is None:
      return outcome
    is_lost = isinstance(error, ValueError) or error.code() in _LOST  # The former of a closed channel.
    details = error.details() if isinstance(error, grpc.Call) else str(error)
    raise WorkerError(f'worker {self._address} {"is gone" if is_lost else "failed"}: {details}')
