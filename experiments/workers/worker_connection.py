"""What a run needs to reach a TFF worker: a gRPC channel, a sign of life, and executors that are closed."""

import collections
from collections.abc import Callable
import contextlib
from typing import Any

import grpc
import tensorflow_federated as tff

from experiments.workers import request_writer

_EXECUTORS_KEPT = 10  # TFF's own number.
_MAX_MESSAGE_BYTES = 2**31 - 1  # Protocol buffers end here too.
_CHANNEL_OPTIONS = [
  ('grpc.max_receive_message_length', _MAX_MESSAGE_BYTES),
  ('grpc.max_send_message_length', _MAX_MESSAGE_BYTES),
  # The worker is on this machine: a proxy named in the environment could not reach it.
  ('grpc.enable_http_proxy', 0),
  # A new channel to the same worker would otherwise share the connection of an old one, even a broken one.
  ('grpc.use_local_subchannel_pool', 1),
  # gRPC would wait a second before it tries again to reach a worker that is still starting.
  ('grpc.initial_reconnect_backoff_ms', 100),
]


class ClosingExecutorFactory(tff.framework.ExecutorFactory):
  """Keeps an executor for each of the last few numbers of clients and closes every executor it drops.

  TFF's `ResourceManagingExecutorFactory` drops without closing: when the number of clients varies over more than ten
  values, the worker keeps about three copies of a computation's arguments and results for each round, for good.
  """

  def __init__(self, build_executor: Callable[[tff.framework.CardinalitiesType], tff.framework.RemoteExecutor]):
    self._build_executor = build_executor
    self._executors: collections.OrderedDict[frozenset, tff.framework.RemoteExecutor] = collections.OrderedDict()

  def create_executor(self, cardinalities: tff.framework.CardinalitiesType) -> tff.framework.RemoteExecutor:
    """Returns the executor for these numbers of clients, which stays valid until ten others have been asked for."""
    key = frozenset(cardinalities.items())
    if key not in self._executors:
      self._executors[key] = self._build_executor(cardinalities)
    self._executors.move_to_end(key)
    while len(self._executors) > _EXECUTORS_KEPT:
      self._executors.popitem(last=False)[1].close()
    return self._executors[key]

  def clean_up_executor(self, cardinalities: tff.framework.CardinalitiesType) -> None:
    """Closes the executor for these numbers of clients, if there is one."""
    executor = self._executors.pop(frozenset(cardinalities.items()), None)
    if executor is not None:
      executor.close()

  def close(self) -> None:
    """Closes all executors."""
    while self._executors:
      self._executors.popitem()[1].close()


class Stub(tff.framework.RemoteExecutorGrpcStub):
  """TFF's requests to a worker. A worker that is gone holds nothing, so that asking it to let go of something never fails."""

  def dispose(self, request: Any) -> None:
    """Lets go of values; TFF asks for it whenever Python collects one, even at the end of the program."""
    with contextlib.suppress(grpc.RpcError, ValueError):
      super().dispose(request)

  def dispose_executor(self, request: Any) -> None:
    """Lets go of an executor and all its values."""
    with contextlib.suppress(grpc.RpcError, ValueError):
      super().dispose_executor(request)

  def move_to(self, channel: grpc.Channel) -> None:
    """Sends all later requests through another channel, also those of executors that were made before."""
    super().__init__(channel)


def connect(address: str) -> grpc.Channel:
  """Returns a channel to a worker, which need not listen yet; no size of message is too much for it."""
  channel = grpc.insecure_channel(address, _CHANNEL_OPTIONS)
  # TFF's stub would have a thread watch it, which prints a traceback if the channel is closed at the wrong moment.
  channel.subscribe = lambda callback, try_to_connect=False: None
  return channel


def answers(channel: grpc.Channel, timeout_seconds: float, may_be_starting: bool = False) -> bool:
  """Asks a worker for a sign of life, which even a busy worker gives within milliseconds; no computation is involved.

  Args:
    channel: To the worker.
    timeout_seconds: How long to wait for it. While 84 MB travel on a loaded machine it takes up to a second.
    may_be_starting: Whether to wait if nobody listens yet; a channel that failed to connect once would otherwise not try
      again for five seconds.

  Returns:
    Whether it came. At once `False` if nobody listens (but see `may_be_starting`) or the channel is closed.
  """
  try:
    channel.unary_unary('/leanfed.Probe/AskNothing')(b'', timeout=timeout_seconds, wait_for_ready=may_be_starting)
  except grpc.RpcError as error:
    # The worker knows no such method, which took a worker to find out.
    return error.code() == grpc.StatusCode.UNIMPLEMENTED
  except ValueError:  # Of a closed channel.
    return False
  return True


def build_executor(stub: Stub, cardinalities: tff.framework.CardinalitiesType) -> tff.framework.RemoteExecutor:
  """Returns an executor in the worker for these numbers of clients, 0 if none is given."""
  # By TFF's default up to 19 finished values, each of which may be a whole model, wait in the worker for a twentieth:
  # 190 MB instead of 85 MB with a state of 10 MB.
  executor = request_writer.Executor(stub, dispose_batch_size=1)
  executor.set_cardinalities({tff.CLIENTS: 0} | cardinalities)
  return executor
