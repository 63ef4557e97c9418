"""What an encoder that has learned without labels is worth where there are some, in one place.

A linear classifier is trained on its features, and on those of an encoder that has learned nothing: the linear probe. Then
the encoder may be fine-tuned together with a new classifier.
"""

from collections.abc import Mapping
import functools

import tensorflow as tf

from data import progress
from experiments.central import training as central_training
from experiments.command import failures
from experiments.federated import run
from experiments.results import heldout_units
from experiments.stages import few_labels
from experiments.stages import finetuning
from experiments.stages import lessons
from experiments.stages import linear_probe
from models import checkpoint

_TEXTS = {
  'probe/accuracy': 'accuracy of a linear classifier on the features',
  'probe/accuracy_random': 'the same of a random encoder',
  lessons.TF_IDF: 'the same of TF-IDF',
  'finetune/accuracy': 'accuracy of the encoder, fine-tuned',
  'finetune/accuracy_random': 'the same of a random encoder',
}


def check(lesson: lessons.Lesson, num_examples: int) -> None:
  """Raises `UsageError` unless there are two classes and `num_examples`, 0 for all, of the examples can be drawn."""
  examples = lesson.examples
  if examples.num_classes < 2:
    raise failures.UsageError('a linear classifier needs examples of two classes at least: choose more in --dataset')
  few_labels.check(num_examples, examples.num_classes, sum(examples.num_examples('train').values()))


def accuracies(
  lesson: lessons.Lesson,
  learned: checkpoint.Checkpoint,
  config: run.Config,
  eval_split: str,
  num_examples: int,
  finetune_steps: int,
) -> dict[str, float]:
  """Probes an encoder, which leaves `heldout.csv` in the folder of its training, and fine-tunes it.

  Args:
    lesson: What it has learned, and from what.
    learned: The encoder.
    config: That of its training, whose seed decides which labels are seen, and all that is random.
    eval_split: Whose examples judge.
    num_examples: How many training examples have a label; 0 for all.
    finetune_steps: Number of batches; 0 for no fine-tuning.

  Returns:
    For `summary.json`: accuracies on the examples that judge, by the names of `rows`.

  Raises:
    UsageError: See `finetuning.accuracies`.
  """
  examples = central_training.Examples(lesson.labelled('train'), lesson.labelled(eval_split))
  examples = few_labels.of(examples, num_examples, config.seed)
  probed, units = _probe(lesson, learned, examples, config.seed)
  heldout_units.write(units, config.output_dir)
  return probed | finetuning.accuracies(
    lesson.classification(), examples, learned, lesson.describe_classifier(), config, finetune_steps
  )


def rows(summary: Mapping[str, float]) -> list[list[str]]:
  """Returns what each of the accuracies in a summary is, and its value, as people read it."""
  return [[text, f'{summary[name]:.3f}'] for name, text in _TEXTS.items() if name in summary]


def _probe(
  lesson: lessons.Lesson, learned: checkpoint.Checkpoint, examples: central_training.Examples, seed: int
) -> tuple[dict[str, float], heldout_units.HeldoutUnits]:
  """Returns what a linear classifier makes of the features that were learned, and of those of a random encoder.

  The units are held-out examples, with the features that were learned.
  """
  model = lesson.build_task(lesson.encoder.num_layers).model
  random = model.by_name(model.initial_weights(seed))
  training, heldout = ((split[lesson.input_name], split['label']) for split in examples)
  with progress.Progress('encoder', 2, task='linear probe') as bar:
    found = {}
    for name, weights in (('probe/accuracy', learned.weights), ('probe/accuracy_random', random)):
      held = {variable: tf.constant(value) for variable, value in weights.items()}
      found[name] = linear_probe.correct(functools.partial(lesson.features, held), training, heldout)
      bar.advance()
  measured = {name: float(correct.mean()) for name, correct in found.items()}
  units = heldout_units.of_examples(found['probe/accuracy'])
  return measured | lesson.baselines(training, heldout), units
