"""What keys and shares take: the published factors by which a secure sum expands what clients exchange."""

import pytest

from compression.secure_sums import modular
from compression.secure_sums import protocol


@pytest.mark.parametrize(('num_clients', 'num_values', 'published'), [(2**10, 2**20, 1.73), (2**14, 2**24, 1.98)])
def test_expansion_is_the_published_one(num_clients, num_values, published):
  # Bonawitz et al. 2017: against 16-bit values sent in the clear, up and down together, a client.
  # 2**10 clients: 26-bit sums of 2**20 values are 3,407,872 bytes, keys and shares 32 (7 * 1024 - 4) + 128 = 229,376; over
  # 2,097,152 bytes that is 1.734.
  field_bits = modular.Modular(bits=16).planned(num_clients).field_bits
  assert field_bits == {2**10: 26, 2**14: 30}[num_clients]
  everyone = protocol.upload_bytes(num_clients, num_clients) + protocol.download_bytes(num_clients, num_clients)
  assert everyone % num_clients == 0
  expansion = (num_values * field_bits / 8 + everyone / num_clients) / (num_values * 2)
  assert expansion == pytest.approx(published, abs=0.006)


def test_bytes_by_hand():
  # 10 clients, of whom 8 answer. Up: 10 times 2 keys and 2 * 9 shares of 32 bytes, 10 * 640; then 8 times 10 shares, 2,560.
  # Down: 10 times 2 keys and 2 shares of 9 others, 10 * 1,152; then 8 lists of 10 bits in 2 bytes.
  assert protocol.upload_bytes(10, 8) == 6400 + 2560
  assert protocol.download_bytes(10, 8) == 11_520 + 16
  assert protocol.upload_bytes_of_one(10, 1) == 640 + 320
  assert protocol.upload_bytes_of_one(10, 0) == 640
  assert protocol.upload_bytes(10, 8) == sum(protocol.upload_bytes_of_one(10, answers) for answers in [1] * 8 + [0] * 2)
