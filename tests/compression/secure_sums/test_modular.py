"""Secure sums as flags name them: the field, the clients that have to answer, and what is refused."""

import pytest

from compression.secure_sums import modular


def test_field_by_hand():
  # 12 bits: top = 2,047; sums of 100 clients lie between -204,700 and 204,700: 409,401 numbers, 19 bits.
  # Noise of variance 100 each: sqrt(100 * 100) = 100 together, of which 8 deviations are 800: 411,001 numbers, still 19.
  # Noise of variance 1e8 each: 8e5 besides, 2,009,401 numbers, 21 bits.
  kind = modular.Modular(bits=12)
  assert [kind.planned(100, noise_variance=variance).field_bits for variance in (0.0, 100.0, 1e8)] == [19, 19, 21]
  assert kind.planned(1).field_bits == 12


def test_who_has_to_answer():
  # Two thirds of 10 are 6.67: 7. Of 9: 6.
  assert [modular.Modular().least_answers(count) for count in (10, 9, 1)] == [7, 6, 1]
  assert modular.Modular(threshold=1).least_answers(10) == 10


def test_radius():
  # 8 bits: 127 levels are the limit. The clip is the limit, or four times it.
  assert modular.Modular(bits=8).radius(clip=0.2) == 127
  assert modular.Modular(bits=8, limit=0.05).radius(clip=0.2) == pytest.approx(508)


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    (dict(bits=1), 'bits'),
    (dict(bits=25), 'bits'),
    (dict(limit=0.0), 'limit'),
    (dict(limit=float('nan')), 'limit'),
    (dict(threshold=0.5), 'threshold'),
    (dict(threshold=1.1), 'threshold'),
  ],
)
def test_wrong_arguments(given, message):
  with pytest.raises(ValueError, match=message):
    modular.Modular(**given)


def test_a_field_that_is_too_small():
  assert modular.Modular(bits=24).planned(128).field_bits == 31
  with pytest.raises(ValueError, match='the sum of 129 clients with 24 bits each needs a field of 32 bits'):
    modular.Modular(bits=24).planned(129)


def test_noise_that_is_too_large():
  kind = modular.Modular(bits=12)
  assert kind.planned(4, noise_variance=1e13).field_bits == 27
  for variance in (1.1e13, 1e30):
    with pytest.raises(ValueError, match='lower bits, or raise limit'):
      kind.planned(4, noise_variance=variance)
