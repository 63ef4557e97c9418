"""Takes the model out of a run.

Question: how do I use what a federated run has learned elsewhere?

    python -m experiments.export --run=runs/first --output_dir=runs/first_model

Leaves model.safetensors (weights by name, and what they are), tokenizer.model (SentencePiece) and the run's config.json
in --output_dir: a folder for --pretrained and experiments.evaluate. An encoder comes in the layout of Hugging Face, which
the usual libraries open, for --pretrained of experiments.text_classification: config.json, model.safetensors and vocab.txt,
spiece.model or tokenizer.json; what LoRA has learned is in its kernels. Of a run that is not finished it takes the model of the last
checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from experiments.command import failures
from experiments.command import flag_table
from experiments.command import given_objects
from experiments.command import launch
from experiments.starts import exporting

FLAGS = flag_table.FlagTable('export')
FLAGS.string('run', None, 'The --output_dir of a run.')
FLAGS.string('output_dir', None, 'New folder for the model.')


def main(given: Mapping[str, Any]) -> None:
  """Exports what the flags name."""
  for name, value in (('run', given['run']), ('output_dir', given['output_dir'])):
    if not value:
      raise failures.UsageError(f'--{name} is missing: write --run=runs/first --output_dir=runs/first_model')
  exported = exporting.export(given['run'], given['output_dir'])
  num_parameters = sum(value.size for value in exported.weights.values())
  print(
    f'{given_objects.shown(exported.description.model)} of {num_parameters:,} parameters after {exported.steps} steps or rounds is in '
    f'{given["output_dir"]}'
  )


if __name__ == '__main__':
  launch.launch(main, FLAGS)
