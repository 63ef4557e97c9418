"""Client names of any characters have safe, stable, distinct keys."""

from hypothesis import given
from hypothesis import strategies as st

from data import client_key


@given(st.text(st.characters()))
def test_any_name_survives_and_has_a_safe_id(name: str):
  key = client_key.derive(name)
  assert client_key.decode_name(client_key.encode_name(name)) == name
  assert len(key.client_id) == 16 and set(key.client_id) <= set('0123456789abcdef')
  assert key.client_key % 2**64 == int(key.client_id, 16)
  assert -(2**63) <= key.client_key < 2**63


def test_keys_never_change():
  assert client_key.derive('numpy.linalg') == ('e698256980c99047', -1830672113463619513)
