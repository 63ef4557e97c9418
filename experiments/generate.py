"""Continues a text by a trained language model.

Question: what does a language model write?

    python -m experiments.generate --pretrained=runs/first --prompt='Returns the'
    python -m experiments.generate --pretrained=runs/first --prompt='Returns the' --prompt='' --temperature=0.7 --num_samples=3

Prints the texts, one a line, prompt included. --temperature=0 takes the likeliest sub-word each time; else the same
--seed gives the same texts. The model sees as many of the last sub-words as its examples had in training.
"""

from collections.abc import Mapping
from typing import Any

from experiments.central import generation
from experiments.command import failures
from experiments.command import flag_table
from experiments.command import launch

FLAGS = flag_table.FlagTable('generate')
FLAGS.string(
  'pretrained',
  None,
  'Folder of a language model: the --output_dir of a run or of experiments.pretrain, or what experiments.export made of it.',
)
FLAGS.multi_string(
  'prompt',
  None,
  'What to continue; an empty prompt begins anew. Repeatable: the texts come in the order of the prompts.',
)
FLAGS.integer('num_tokens', 30, 'Most sub-words that are added; a text may end before.', lower_bound=1)
FLAGS.float(
  'temperature',
  1.0,
  "1 draws by the model's own probabilities, less draws likelier sub-words, 0 takes the likeliest.",
  lower_bound=0.0,
)
FLAGS.integer('top_k', 0, 'Draw among so many of the likeliest sub-words; 0 for all.', lower_bound=0)
FLAGS.integer('seed', 0, 'Decides all draws.', 0, 2**32 - 1)
FLAGS.integer('num_samples', 1, 'Continuations of each prompt.', lower_bound=1)


def main(given: Mapping[str, Any]) -> None:
  """Prints what `continued` returns."""
  for texts in continued(given):
    print('\n'.join(texts))


def continued(given: Mapping[str, Any]) -> list[list[str]]:
  """Returns the continuations of each prompt that the flags name."""
  if not given['pretrained']:
    raise failures.UsageError(
      '--pretrained is missing: name the folder of a language model, as --pretrained=runs/first'
    )
  if not given['prompt']:
    raise failures.UsageError("--prompt is missing: write --prompt='Returns the', or --prompt='' to begin anew")
  return generation.generate(
    given['pretrained'],
    given['prompt'],
    num_tokens=given['num_tokens'],
    temperature=given['temperature'],
    top_k=given['top_k'],
    seed=given['seed'],
    num_samples=given['num_samples'],
  )


if __name__ == '__main__':
  launch.launch(main, FLAGS)
