"""What the protocol of a secure sum costs beside the sum itself (Bonawitz et al. 2017, eprint 2017/281; arXiv 1611.04482).

Every client of a round agrees on a key with every other one and leaves a share of its secrets with each, so that the sum
can be unmasked although some vanish. Of n clients each, in bytes, with keys and shares of 32:

    up     2 keys, shares of 2 secrets for n - 1 others, and once masked sums are in, n shares      64 n, then 32 n
    down   2 keys and 2 shares of n - 1 others, and who is still there, a bit each                  128 (n - 1), then n / 8

The protocol itself is not run: the simulation adds up in the clear. Its bytes follow from this formula.
"""

from typing import TypeVar

import tensorflow as tf

_EXCHANGED, _REVEALED = 64, 32
_RECEIVED = 128

Count = TypeVar('Count', int, tf.Tensor)


def upload_bytes(invited: Count, answered: Count) -> Count:
  """Returns what keys and shares take on the way up, of all clients of a round.

  Args:
    invited: How many received the model, all of whom exchanged keys.
    answered: How many of them sent a masked update, and revealed shares.

  Returns:
    Bytes.
  """
  return invited * _EXCHANGED * invited + answered * _REVEALED * invited


def upload_bytes_of_one(invited: Count, answers: Count) -> Count:
  """Returns what a client sends that answers, 1, or does not, 0."""
  return (_EXCHANGED + _REVEALED * answers) * invited


def download_bytes(invited: Count, answered: Count) -> Count:
  """Returns what keys, shares and the list of those still there take on the way down; see `upload_bytes`."""
  return _RECEIVED * invited * (invited - 1) + answered * ((invited + 7) // 8)
