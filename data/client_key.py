"""Safe ids for clients of any name: TFF pastes client ids into SQL, and TensorFlow wants numbers."""

import hashlib
from typing import NamedTuple


class ClientKey(NamedTuple):
  """A stable 64-bit hash of a client's name, as text for SQL and as a signed number for tensors."""

  client_id: str
  client_key: int


def encode_name(name: str) -> bytes:
  """Returns the name as bytes; works for every Python string, lone surrogates included."""
  return name.encode('utf-8', 'surrogatepass')


def decode_name(encoded: bytes) -> str:
  """Inverts `encode_name`."""
  return encoded.decode('utf-8', 'surrogatepass')


def derive(name: str) -> ClientKey:
  """Returns the key of a client name: 16 hexadecimal digits, and the same 64 bits as a signed integer."""
  digest = hashlib.blake2b(encode_name(name), digest_size=8).digest()
  return ClientKey(digest.hex(), int.from_bytes(digest, 'big', signed=True))


def of_id(client_id: str) -> int:
  """Returns the number of an id that `derive` made."""
  return int.from_bytes(bytes.fromhex(client_id), 'big', signed=True)
