"""Names the class of each text by a trained classifier.

Question: which class has this text, and how sure is the model?

    python -m experiments.predict --pretrained=runs/classified --input=texts.txt --output=predicted.jsonl
    echo 'Returns the inverse of a matrix.' | python -m experiments.predict --pretrained=runs/classified

Takes a text a line, in UTF-8, and writes a line of JSON for each: text, label, which is the likeliest class, and
probabilities by class. A line in which the model finds nothing to read, such as an empty one, has the label null and no
probabilities.
"""

import json

from absl import flags

from experiments.central import prediction
from experiments.command import failures
from experiments.command import launch
from experiments.command import text_lines
from experiments.starts import saved_classifier

_PRETRAINED = flags.DEFINE_string(
  'pretrained',
  None,
  'Folder of a classifier of texts: the --output_dir of experiments.text_classification, or what experiments.export made of it.',
)
_INPUT = flags.DEFINE_string('input', None, 'File with a text a line; standard input without it.')
_OUTPUT = flags.DEFINE_string('output', None, 'New file for the lines of JSON; standard output without it.')
flags.DEFINE_bool('version', False, 'Print the version and exit.')


def main() -> None:
  """Names the classes of what the flags name."""
  if not _PRETRAINED.value:
    raise failures.UsageError(
      '--pretrained is missing: name the folder of a classifier, as --pretrained=runs/classified'
    )
  with text_lines.reading(_INPUT.value) as texts, text_lines.writing(_OUTPUT.value) as write:
    for predicted in prediction.predictions(saved_classifier.load(_PRETRAINED.value), texts):
      write(json.dumps(predicted))


if __name__ == '__main__':
  launch.launch(main)
