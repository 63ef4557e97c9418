"""Continues texts by a trained language model, one sub-word after the other."""

from collections.abc import Sequence
import math
import pathlib
import sys

import numpy as np
import tensorflow as tf

from data import tokenizer as tokenizer_lib
from experiments.command import failures
from experiments.starts import model_kind
from experiments.starts import pretrained
from models import checkpoint
from models import token_sampling

_NEVER = (tokenizer_lib.PAD, tokenizer_lib.BEGIN, tokenizer_lib.UNKNOWN)
_BATCH_SIZE = 16  # Samples at a time; changes memory and speed only.
_SAMPLE_BITS = 32


def generate(
  folder: str | pathlib.Path,
  prompts: Sequence[str],
  num_tokens: int = 30,
  temperature: float = 1.0,
  top_k: int = 0,
  seed: int = 0,
  num_samples: int = 1,
) -> list[list[str]]:
  """Continues texts by the language model in a folder.

  The model sees what it saw in training: a token that begins, and as many of the last pieces as fit behind it. A sample
  is a function of model, prompt, temperature, top_k, seed and its number. Says on standard error which characters of a
  prompt the model does not know.

  Args:
    folder: Where the model is: the `--output_dir` of a run or of experiments.pretrain, or an export.
    prompts: The texts; an empty one begins anew.
    num_tokens: Most sub-words that are added; a text may end before.
    temperature: 1 for the model's own probabilities, less for likelier sub-words; 0 for the likeliest each time.
    top_k: How many of the likeliest sub-words may come; 0 for all.
    seed: Decides all draws.
    num_samples: Continuations of each prompt.

  Returns:
    For each prompt its continuations, prompt included; a run of white space in it becomes one space.

  Raises:
    UsageError: If there is no sound language model, it knows no character of a prompt, or a number is out of range.
  """
  _check(num_tokens, temperature, top_k, seed, num_samples)
  model_kind.check(folder, model_kind.LANGUAGE_MODEL)
  generator = _Generator(pretrained.load(folder), temperature, top_k, seed)
  begun = [generator.begin(prompt) for prompt in prompts]
  return [generator.continued(*text, num_tokens, num_samples) for text in begun]


def _check(num_tokens: int, temperature: float, top_k: int, seed: int, num_samples: int) -> None:
  lowest = dict(num_tokens=(num_tokens, 1), top_k=(top_k, 0), seed=(seed, 0), num_samples=(num_samples, 1))
  for name, (value, least) in lowest.items():
    if value < least:
      raise failures.UsageError(f'{name} must be a whole number of at least {least}, not {value}')
  if not 0.0 <= temperature < math.inf:
    raise failures.UsageError(f'temperature must be a number of at least 0, not {temperature}')


class _Generator:
  """A language model and the way in which it is continued; the graph of a step is built once."""

  def __init__(self, loaded: checkpoint.Checkpoint, temperature: float, top_k: int, seed: int):
    described = loaded.description
    self._tokenizer = tokenizer_lib.Tokenizer(described.tokenizer)
    self._window, self._seed = described.sequence_length, seed
    model = pretrained.build_model(described)
    weights = model.by_name([tf.constant(weight) for weight in pretrained.weights_of(loaded, model)])
    bars = np.zeros([described.vocabulary_size], np.float32)
    bars[[*_NEVER, *range(self._tokenizer.vocabulary_size, described.vocabulary_size)]] = -np.inf

    def step(tokens: tf.Tensor, last: tf.Tensor, seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
      logits = model.apply(weights, tokens, None)[:, last]
      is_sound = tf.reduce_all(tf.math.is_finite(logits))
      return token_sampling.draw(logits + bars, seeds, temperature, top_k), is_sound

    specs = (
      tf.TensorSpec([None, self._window], tf.int32),
      tf.TensorSpec([], tf.int32),
      tf.TensorSpec([None, 2], tf.int64),
    )
    self._step = tf.function(step, autograph=False, input_signature=specs)

  def begin(self, prompt: str) -> tuple[str, list[int]]:
    """Returns a prompt in the white space that the model knows, and its pieces."""
    text = ' '.join(prompt.split())
    unknown = self._tokenizer.unknown_characters(text)
    listed = ', '.join(map(repr, unknown))
    if unknown and set(unknown) == set(text) - {' '}:
      raise failures.UsageError(
        f'the model knows no character of the prompt {text!r} ({listed}): write it in those of the text that it was '
        'trained on'
      )
    if unknown:
      print(f'the model does not know {listed}: it reads them as one unknown sub-word', file=sys.stderr, flush=True)
    return text, self._tokenizer.pieces(text)

  def continued(self, text: str, pieces: list[int], num_tokens: int, num_samples: int) -> list[str]:
    """Returns continuations of a text with these pieces."""
    texts = []
    for first in range(0, num_samples, _BATCH_SIZE):
      rows = self._extended(pieces, num_tokens, range(first, min(first + _BATCH_SIZE, num_samples)))
      texts += [text + self._added(pieces, row) for row in rows]
    return texts

  def _extended(self, pieces: list[int], num_tokens: int, samples: range) -> np.ndarray:
    """Returns int32 [samples, length]: the pieces and those that follow; what comes after an end has no meaning."""
    rows = np.tile(np.array(pieces, np.int32), [len(samples), 1])
    for step in range(num_tokens):
      seeds = np.array([[self._seed, (sample << _SAMPLE_BITS) + step] for sample in samples], np.int64)
      tokens, last = self._seen(rows)
      drawn, is_sound = self._step(tokens, last, seeds)
      if not is_sound:
        raise failures.UsageError('the scores of the model are not finite: choose one whose training did not diverge')
      rows = np.concatenate([rows, drawn.numpy()[:, np.newaxis]], axis=1)
      if (rows[:, len(pieces) :] == tokenizer_lib.END).any(axis=1).all():
        break
    return rows

  def _seen(self, rows: np.ndarray) -> tuple[np.ndarray, int]:
    """Returns what the model sees of rows, int32 [n, window], and the place of the last piece in it."""
    kept = rows[:, max(0, rows.shape[1] - (self._window - 1)) :]
    tokens = np.full([len(rows), self._window], tokenizer_lib.PAD, np.int32)
    tokens[:, 0] = tokenizer_lib.BEGIN
    tokens[:, 1 : 1 + kept.shape[1]] = kept
    return tokens, kept.shape[1]

  def _added(self, pieces: list[int], row: np.ndarray) -> str:
    """Returns the text of what follows the pieces in a row, up to an end."""
    ends = np.flatnonzero(row[len(pieces) :] == tokenizer_lib.END)
    row = row[: len(pieces) + ends[0]] if len(ends) else row
    before, whole = self._tokenizer.decode([np.array(pieces, np.int32), row])
    return whole[len(before) :]
