"""What a pre-training learns: a language model the next token, an encoder the hidden ones, by itself or from a teacher."""

from collections.abc import Callable
import pathlib
from typing import Any

from data import tokenizer as tokenizer_lib
from experiments.command import failures
from experiments.command import takers
from experiments.starts import saved_encoder
from models import catalog
from models import checkpoint
from models import distillation
from models import encoder as encoder_lib
from models import language_task
from models import masked_language_task
from models import model as model_lib
from models import task as task_lib

Named = encoder_lib.Encoder | Callable[[int], model_lib.Model]  # What --model names.

_SPECIAL_IDS = (tokenizer_lib.BEGIN, tokenizer_lib.END, tokenizer_lib.UNKNOWN)
_REMEDY = 'name the --output_dir of experiments.pretrain --model=bert'


def named(text: Any, sequence_length: int) -> Named:
  """Returns what a `--model` spec names, or a script gives; raises `SpecError`, and `UsageError` for an encoder of too few positions."""
  model: Any = takers.build_model(text, catalog.LANGUAGE_MODELS | catalog.ENCODERS)
  if is_encoder(model) and model.max_length < sequence_length + 1:
    raise failures.UsageError(
      f'{text} has {model.max_length} positions, but examples have {sequence_length + 1} tokens: choose a larger '
      f'max_length, or a --dataset with sequence_length={model.max_length - 1}'
    )
  return model


def is_encoder(model: Named) -> bool:
  """Returns whether a model sees tokens on both sides, and so learns from hidden ones."""
  return isinstance(model, encoder_lib.Encoder)


def build(
  model: Named, vocabulary_size: int, sequence_length: int, teacher: checkpoint.Checkpoint | None = None
) -> task_lib.Task:
  """Returns the task of a pre-training.

  Args:
    model: From `named`.
    vocabulary_size: Sub-words of the tokenizer; an encoder has one row more, for the mask.
    sequence_length: An example holds one token more.
    teacher: From `load_teacher`, for this model, with the same tokenizer; None without.

  Returns:
    A task over examples of int32 `tokens` [sequence_length + 1].
  """
  if not is_encoder(model):
    return language_task.build(model(vocabulary_size), sequence_length)
  hiding = dict(sequence_length=sequence_length + 1, mask_id=vocabulary_size, special_ids=_SPECIAL_IDS)
  if teacher is None:
    return masked_language_task.build(model, vocabulary_size + 1, **hiding)
  return distillation.build(model, saved_encoder.encoder_of(teacher), teacher.weights, **hiding)


def load_teacher(folder: str, student: Named) -> checkpoint.Checkpoint:
  """Reads the teacher of an encoder.

  Args:
    folder: Where a pre-trained BERT is.
    student: Who learns from it.

  Returns:
    The teacher.

  Raises:
    UsageError: With one line that says why this one cannot teach that one.
  """
  if not is_encoder(student):
    raise failures.UsageError('--teacher is for encoders: choose a --model=distilbert(...) of the size of the teacher')
  try:
    teacher = checkpoint.load(pathlib.Path(folder))
    encoder = saved_encoder.encoder_of(teacher)
    distillation.check(student, encoder)
  except (ValueError, OSError) as error:
    raise failures.UsageError(f'--teacher={folder}: {error}') from error
  model = encoder.masked_language_model(teacher.description.vocabulary_size + 1)
  if {name: value.shape for name, value in teacher.weights.items()} != {v.name: v.shape for v in model.variables}:
    raise failures.UsageError(f'--teacher={folder} does not predict hidden tokens: {_REMEDY}')
  return teacher


def check_vocabulary(teacher: checkpoint.Checkpoint, description: checkpoint.Description, dataset: str) -> None:
  """Raises `UsageError` unless a teacher has the tokens of the student that is described, on the data set so named."""
  own = teacher.description
  if own.tokenizer_hash != description.tokenizer_hash:
    raise failures.UsageError(
      f'--teacher={teacher.folder} has another vocabulary ({own.vocabulary_size} pieces) than --dataset={dataset} '
      f'({description.vocabulary_size} pieces): pre-train the teacher with this --dataset'
    )
