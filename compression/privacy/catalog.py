"""The catalogue of kinds of privacy (`--privacy`): from names to builders. A new one is its class and one line here."""

from compression.privacy import distributed
from compression.privacy import kinds


def none() -> None:
  """Returns no privacy: updates are not bounded and get no noise, and nothing is accounted."""


PRIVACIES = {
  'none': none,
  'gaussian': kinds.Gaussian,
  'adaptive_clip': kinds.AdaptiveClip,
  'tree': kinds.Tree,
  'blt': kinds.Blt,
  'distributed': distributed.Distributed,
}
