"""A model on disk: a folder that says by itself what the model is and how its text is cut into tokens.

model.safetensors   the weights by name, float32, with the description of the model as metadata
tokenizer.model     what its tokens come from: a SentencePiece model, or for classifiers what `data.text_encoders` makes;
                    empty for models of images
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import hashlib
import json
import pathlib

import numpy as np
import safetensors
from safetensors import numpy as safetensors_numpy

from data import cache
from models import half_floats

MODEL_FILE = 'model.safetensors'
TOKENIZER_FILE = 'tokenizer.model'

_REMEDY = 'name the --output_dir of experiments.pretrain, experiments.export or a language_model run'


@dataclasses.dataclass(frozen=True)
class Description:
  """What a model is, besides its weights.

  Attributes:
    model: The spec that `--model` takes.
    vocabulary_size: Ids of the tokenizer are below it, and an encoder has one row more, for the mask; of a classifier
      the number of rows; of a model of images 0.
    sequence_length: Target positions of the examples that it was trained on; of a model of images 0.
    tokenizer: A serialized SentencePiece model; of a classifier what `data.text_encoders.deserialize` takes.
    trainable: The spec that `--trainable` takes; it may have added variables.
    devices: The spec that `--devices` takes; it may have, too.
    class_names: The classes of a classifier.
    image_shape: Height, width and channels, of a model of images.
  """

  model: str
  vocabulary_size: int
  sequence_length: int
  tokenizer: bytes
  trainable: str = 'all'
  devices: str = 'alike'
  class_names: tuple[str, ...] = ()
  image_shape: tuple[int, ...] = ()

  @property
  def tokenizer_hash(self) -> str:
    """SHA-256 of the tokenizer, in hexadecimal."""
    return hashlib.sha256(self.tokenizer).hexdigest()


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """A model that was read.

  Attributes:
    folder: From where.
    weights: float32 arrays by the name of their variable.
    description: What they are the weights of.
    steps: Training steps so far; rounds, if the training was federated.
    content_hash: SHA-256 of all of that, in hexadecimal.
  """

  folder: pathlib.Path
  weights: Mapping[str, np.ndarray]
  description: Description
  steps: int
  content_hash: str


def of_images(
  model: str, image_shape: Sequence[int], class_names: Sequence[str], trainable: str = 'all', devices: str = 'alike'
) -> Description:
  """Describes a classifier of images; the arguments are those of `Description`."""
  return Description(model, 0, 0, b'', trainable, devices, tuple(class_names), tuple(image_shape))


def save(folder: pathlib.Path, weights: Mapping[str, np.ndarray], description: Description, steps: int) -> None:
  """Writes a model into an existing folder; each file is there whole or not at all, a model that was there is replaced."""
  entries = {name: str(value) for name, value in dataclasses.asdict(description).items() if name != 'tokenizer'}
  entries['class_names'] = json.dumps(description.class_names)
  entries['image_shape'] = json.dumps(description.image_shape)
  metadata = entries | dict(tokenizer_sha256=description.tokenizer_hash, steps=str(steps))
  # The tokenizer first: it is the same whenever a model of a run is replaced.
  write(folder / TOKENIZER_FILE, description.tokenizer)
  save_arrays(folder / MODEL_FILE, weights, metadata)


def load(folder: pathlib.Path) -> Checkpoint:
  """Reads the model in a folder.

  Args:
    folder: Where `save` put it.

  Returns:
    The model.

  Raises:
    ValueError: With one line that names the file and a remedy, if there is no sound model.
  """
  path = folder / MODEL_FILE
  if not path.is_file():
    raise ValueError(f'{str(folder)!r} holds no {MODEL_FILE}: {_REMEDY}')
  weights, metadata = load_weights(path)
  for name, value in weights.items():
    if wrong := fault(value):
      raise ValueError(f'{str(path)!r}: {name} {wrong}: make it again or {_REMEDY}')
  try:
    tokenizer = (folder / TOKENIZER_FILE).read_bytes()
    description = Description(
      model=metadata['model'],
      vocabulary_size=int(metadata['vocabulary_size']),
      sequence_length=int(metadata['sequence_length']),
      tokenizer=tokenizer,
      trainable=metadata['trainable'],
      devices=metadata['devices'],
      class_names=tuple(json.loads(metadata.get('class_names', '[]'))),
      image_shape=tuple(json.loads(metadata.get('image_shape', '[]'))),
    )
    expected, steps = metadata['tokenizer_sha256'], int(metadata['steps'])
  except OSError as error:
    raise ValueError(f'cannot read {TOKENIZER_FILE} in {str(folder)!r} ({error.strerror}): {_REMEDY}') from error
  except (KeyError, ValueError) as error:
    raise ValueError(f'{str(path)!r} does not say what its model is: {_REMEDY}') from error
  if description.tokenizer_hash != expected:
    raise ValueError(f'{TOKENIZER_FILE} in {str(folder)!r} is not the one of {MODEL_FILE} beside it: copy both again')
  return Checkpoint(folder, weights, description, steps, content_hash(weights, metadata))


def content_hash(weights: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
  """Returns a SHA-256 in hexadecimal of what the file says; its bytes depend on the order in which safetensors happens to write the metadata."""
  content = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
  for name, value in sorted(weights.items()):
    content.update(json.dumps([name, value.shape]).encode())
    content.update(value.astype('<f4', copy=False).tobytes())
  return content.hexdigest()


def save_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
  """Writes arrays by name as safetensors: a reader, or a restart after a kill, sees the old file or the new one."""
  contiguous = {name: np.ascontiguousarray(value).reshape(np.shape(value)) for name, value in arrays.items()}
  write(path, safetensors_numpy.save(contiguous, dict(metadata)))


def load_arrays(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Reads what `save_arrays` wrote: the arrays by name and the metadata.

  Tensors of bfloat16, which other programs write, come as float32.

  Raises:
    ValueError: With one line that names the file and a remedy, if it is truncated or something else.
  """
  try:
    with safetensors.safe_open(path, framework='numpy') as file:
      brief = [name for name in file.keys() if file.get_slice(name).get_dtype() == half_floats.BFLOAT16]  # noqa: SIM118
      arrays = {name: file.get_tensor(name) for name in file.keys() if name not in brief}  # noqa: SIM118
      return arrays | half_floats.read_bfloat16(path, brief), file.metadata() or {}
  except (TypeError, AttributeError) as error:  # NumPy has no such type.
    raise ValueError(f'{str(path)!r} holds numbers of a type that is not read ({error}): save it as float32') from error
  except (safetensors.SafetensorError, OSError) as error:
    reason = ' '.join(str(error).split())
    raise ValueError(f'{str(path)!r} is truncated or no safetensors file ({reason}): copy or make it again') from error


def load_weights(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Does `load_arrays` on weights: those of float16 and bfloat16 come as float32, each number as it is."""
  arrays, metadata = load_arrays(path)
  return half_floats.widened(arrays), metadata


def fault(value: np.ndarray) -> str | None:
  """Returns what is wrong with a weight that was read, as the end of a sentence; None if it is finite float32."""
  if value.dtype != np.float32:
    return f'is of type {value.dtype}, not float32, float16 or bfloat16'
  return None if np.isfinite(value).all() else 'holds NaN or infinity'


def write(path: pathlib.Path, content: bytes) -> None:
  """Writes a file that is there whole or not at all."""
  with cache.temporary(path) as unfinished:
    unfinished.write_bytes(content)
    cache.publish(unfinished, path)
