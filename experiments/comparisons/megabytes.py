"""How a comparison writes megabytes: however few they are, three digits say how many."""

import math

_SIGNIFICANT = 3  # Digits of what is less than one megabyte.


def text(num_bytes: float | None, digits: int = 1) -> str:
  """Returns bytes in megabytes.

  Args:
    num_bytes: How many; None if that was not measured.
    digits: Decimals from one megabyte on.

  Returns:
    A number without a unit; nothing for None.
  """
  if num_bytes is None:
    return ''
  value = num_bytes / 1e6
  if 0.0 < abs(value) < 1.0:
    digits = _SIGNIFICANT - 1 - math.floor(math.log10(abs(value)))
  return f'{value:,.{digits}f}'
