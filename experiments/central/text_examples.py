"""The examples of a central training: text that no client of the federated run holds, in the sub-words of its data set."""

import dataclasses

import numpy as np

from data import encoded_text
from data import federated_text
from data import population
from data import source as source_lib
from data import tokenizer as tokenizer_lib
from experiments.central import training as central_training
from experiments.command import failures


def examples(
  text: federated_text.FederatedText, corpus: source_lib.TextSource | None, eval_clients: int
) -> central_training.Examples:
  """Chooses what to learn from and what to evaluate on.

  Args:
    text: The data set of the federated run.
    corpus: Other text to learn from, all of it that is not held out; the `pretrain` split of the data set if None.
    eval_clients: Held-out clients to evaluate on; 0 for all. A run with as many evaluates on the same ones.

  Returns:
    The tokens of both.

  Raises:
    UsageError: If there is nothing to learn from.
    DataError: If there are no held-out clients, or the corpus is malformed.
  """
  if corpus is None:
    training, wanted = text.tokens('pretrain'), 'the data set has no text for pre-training'
  else:
    corpus = dataclasses.replace(corpus, sequence_length=text.sequence_length)
    training = encoded_text.encode(corpus, ['pretrain', 'train'], text.tokenizer).tokens
    wanted = f'corpus {corpus.name} has no text that is not held out'
  if not len(training):
    raise failures.UsageError(f"{wanted}: name some, as --corpus='text(path=...)' or --corpus='lm1b(path=...)'")
  ids = population.Population.of(text).evaluation_ids(eval_clients)
  return central_training.Examples(dict(tokens=training), dict(tokens=text.tokens('heldout', ids)))


def joined(examples: central_training.Features) -> central_training.Features:
  """Joins neighbouring sentences, so that examples are full: begin, pieces, end, pieces, end and so on.

  Args:
    examples: int32 `tokens` [n, length], one sentence in each.

  Returns:
    int32 `tokens` [fewer, length]: each begins anew where the last one was cut off; only the last one is padded.
  """
  begun = examples['tokens'][:, 1:]
  pieces = begun[begun != tokenizer_lib.PAD]
  rows = np.pad(pieces, [0, -len(pieces) % begun.shape[1]]).reshape([-1, begun.shape[1]])
  return dict(tokens=np.pad(rows, [[0, 0], [1, 0]], constant_values=tokenizer_lib.BEGIN))
