"""What a pre-trained encoder is worth where there are labels: it is fine-tuned together with a new linear classifier.

That is done in one place, with all weights, and again from an encoder that has learned nothing. Each is a training like
any other, in a folder of its own, and goes on after a kill.
"""

import dataclasses
from typing import Any

from experiments.central import training
from experiments.federated import run
from experiments.starts import pretrained
from models import checkpoint
from models import task as task_lib

_LEARNING_RATE = 1e-3
_WARM_UP = 10  # One step in so many.


def accuracies(
  task: task_lib.Task,
  examples: training.Examples,
  learned: checkpoint.Checkpoint,
  description: checkpoint.Description,
  config: run.Config,
  steps: int,
) -> dict[str, float]:
  """Fine-tunes what was learned in the folder `finetuned` of a run, and what was not in `finetuned_random`.

  Args:
    task: Classification by the encoder.
    examples: With labels.
    learned: The encoder; its head, if it has one, is not taken over.
    description: What the model of the task is.
    config: The run's, whose seed decides the classifier, the encoder that has learned nothing and the order of examples.
    steps: Number of batches; 0 for no fine-tuning.

  Returns:
    `finetune/accuracy` and `finetune/accuracy_random`, on the examples to evaluate on; nothing without steps.

  Raises:
    UsageError: See `central_training.train`.
  """
  if not steps:
    return {}
  encoder = {name: value for name, value in learned.weights.items() if not name.startswith('head/')}
  start = pretrained.WarmStart(dataclasses.replace(learned, weights=encoder))

  def accuracy(folder: str, facts: dict[str, Any], begin: pretrained.WarmStart | None) -> float:
    print(f'fine-tuning with labels: {folder}', flush=True)
    trained = training.CentralConfig(
      output_dir=config.output_dir / folder,
      steps=steps,
      learning_rate=_LEARNING_RATE,
      warmup_steps=steps // _WARM_UP,
      seed=config.seed,
      settings=config.settings,
      facts=facts,
    )
    return training.train(task, examples, description, trained, begin)['eval/accuracy']

  return {
    'finetune/accuracy': accuracy('finetuned', dict(pretrained_sha256=learned.content_hash), start),
    'finetune/accuracy_random': accuracy('finetuned_random', {}, None),
  }
