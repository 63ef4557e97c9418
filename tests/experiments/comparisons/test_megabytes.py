"""Megabytes in tables: small ones are not written as nothing."""

import pytest

from experiments.comparisons import megabytes


@pytest.mark.parametrize(
  ('num_bytes', 'expected'),
  [
    (0, '0.0'),
    (17_295, '0.0173'),
    (54, '0.0000540'),
    (999_000, '0.999'),
    (1_000_000, '1.0'),
    (12_345_678, '12.3'),
    (1_234_500_000, '1,234.5'),
    (None, ''),
  ],
)
def test_three_digits_below_one_megabyte(num_bytes, expected):
  assert megabytes.text(num_bytes) == expected


def test_more_decimals_from_one_megabyte_on():
  assert megabytes.text(1_600_000, 3) == '1.600'
