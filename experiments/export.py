"""Takes the model out of a run.

Question: how do I use what a federated run has learned elsewhere?

    python -m experiments.export --run=runs/first --output_dir=runs/first_model

Leaves model.safetensors (weights by name, and what they are), tokenizer.model (SentencePiece) and the run's config.json
in --output_dir: a folder for --pretrained and experiments.evaluate. An encoder comes in the layout of Hugging Face, which
the usual libraries open, for --pretrained of experiments.text_classification: config.json, model.safetensors and vocab.txt,
spiece.model or tokenizer.json; what LoRA has learned is in its kernels. Of a run that is not finished it takes the model of the last
checkpoint.
"""

from absl import flags

from experiments.command import failures
from experiments.command import launch
from experiments.starts import exporting

_RUN = flags.DEFINE_string('run', None, 'The --output_dir of a run.')
_OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'New folder for the model.')
flags.DEFINE_bool('version', False, 'Print the version and exit.')


def main() -> None:
  """Exports what the flags name."""
  for name, value in (('run', _RUN.value), ('output_dir', _OUTPUT_DIR.value)):
    if not value:
      raise failures.UsageError(f'--{name} is missing: write --run=runs/first --output_dir=runs/first_model')
  exported = exporting.export(_RUN.value, _OUTPUT_DIR.value)
  num_parameters = sum(value.size for value in exported.weights.values())
  print(
    f'{exported.description.model} of {num_parameters:,} parameters after {exported.steps} steps or rounds is in '
    f'{_OUTPUT_DIR.value}'
  )


if __name__ == '__main__':
  launch.launch(main)
