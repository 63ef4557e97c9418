"""Continues a text by a trained language model.

Question: what does a language model write?

    python -m experiments.generate --pretrained=runs/first --prompt='Returns the'
    python -m experiments.generate --pretrained=runs/first --prompt='Returns the' --prompt='' --temperature=0.7 --num_samples=3

Prints the texts, one a line, prompt included. --temperature=0 takes the likeliest sub-word each time; else the same
--seed gives the same texts. The model sees as many of the last sub-words as its examples had in training.
"""

from absl import flags

from experiments.central import generation
from experiments.command import failures
from experiments.command import launch

_PRETRAINED = flags.DEFINE_string(
  'pretrained',
  None,
  'Folder of a language model: the --output_dir of a run or of experiments.pretrain, or what experiments.export made of it.',
)
_PROMPT = flags.DEFINE_multi_string(
  'prompt',
  None,
  'What to continue; an empty prompt begins anew. Repeatable: the texts come in the order of the prompts.',
)
_NUM_TOKENS = flags.DEFINE_integer(
  'num_tokens', 30, 'Most sub-words that are added; a text may end before.', lower_bound=1
)
_TEMPERATURE = flags.DEFINE_float(
  'temperature',
  1.0,
  "1 draws by the model's own probabilities, less draws likelier sub-words, 0 takes the likeliest.",
  lower_bound=0.0,
)
_TOP_K = flags.DEFINE_integer('top_k', 0, 'Draw among so many of the likeliest sub-words; 0 for all.', lower_bound=0)
_SEED = flags.DEFINE_integer('seed', 0, 'Decides all draws.', 0, 2**32 - 1)
_NUM_SAMPLES = flags.DEFINE_integer('num_samples', 1, 'Continuations of each prompt.', lower_bound=1)
flags.DEFINE_bool('version', False, 'Print the version and exit.')


def main() -> None:
  """Continues what the flags name."""
  if not _PRETRAINED.value:
    raise failures.UsageError(
      '--pretrained is missing: name the folder of a language model, as --pretrained=runs/first'
    )
  if not _PROMPT.value:
    raise failures.UsageError("--prompt is missing: write --prompt='Returns the', or --prompt='' to begin anew")
  continued = generation.generate(
    _PRETRAINED.value,
    _PROMPT.value,
    num_tokens=_NUM_TOKENS.value,
    temperature=_TEMPERATURE.value,
    top_k=_TOP_K.value,
    seed=_SEED.value,
    num_samples=_NUM_SAMPLES.value,
  )
  for texts in continued:
    print('\n'.join(texts))


if __name__ == '__main__':
  launch.launch(main)
