"""How a variable of the server's model reaches clients: one value for each variable, in the order of the model."""

from collections.abc import Callable
import enum
from typing import NamedTuple

import tensorflow as tf


class Way(enum.Enum):
  """The ways in which clients come by a variable."""

  SENT = 'sent'  # Broadcast whole, and counted.
  SLICED = 'sliced'  # Sent in those slices that a client asks for, and counted.
  KEPT = 'kept'  # Kept from before the first round, while nobody trains it: it never travels.
  HELD = 'held'  # Received once, and held from then on, since nobody ever trains it: see `optimizers.frozen_base`.
  REBUILT = 'rebuilt'  # Made by every client itself, from the seed of the run: it never travels.


class Delivery(NamedTuple):
  """How clients come by one variable.

  Attributes:
    way: Which way.
    make: What a client begins with in place of a broadcast: the variable, if it is rebuilt; if it is sliced, zeros
      into which the slices go; None for the other ways.
  """

  way: Way
  make: Callable[[], tf.Tensor] | None = None


SENT = Delivery(Way.SENT)
KEPT = Delivery(Way.KEPT)
HELD = Delivery(Way.HELD)
