"""The catalogue of secure sums (`--secure_sum`): from names to builders."""

from compression.secure_sums import modular


def none() -> None:
  """Returns no secure sum: the server sees each client's update."""


SECURE_SUMS = {'none': none, 'modular': modular.Modular}
