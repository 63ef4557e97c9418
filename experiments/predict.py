"""Names the class of each text by a trained classifier.

Question: which class has this text, and how sure is the model?

    python -m experiments.predict --pretrained=runs/classified --input=texts.txt --output=predicted.jsonl
    echo 'Returns the inverse of a matrix.' | python -m experiments.predict --pretrained=runs/classified

Takes a text a line, in UTF-8, and writes a line of JSON for each: text, label, which is the likeliest class, and
probabilities by class. A line in which the model finds nothing to read, such as an empty one, has the label null and no
probabilities.
"""

from collections.abc import Mapping
import json
from typing import Any

from experiments.central import prediction
from experiments.command import failures
from experiments.command import flag_table
from experiments.command import launch
from experiments.command import text_lines
from experiments.starts import saved_classifier

FLAGS = flag_table.FlagTable('predict')
FLAGS.string(
  'pretrained',
  None,
  'Folder of a classifier of texts: the --output_dir of experiments.text_classification, or what experiments.export made of it.',
)
FLAGS.string('input', None, 'File with a text a line; standard input without it.')
FLAGS.string('output', None, 'New file for the lines of JSON; standard output without it.')


def main(given: Mapping[str, Any]) -> None:
  """Names the classes of what the flags name."""
  if not given['pretrained']:
    raise failures.UsageError(
      '--pretrained is missing: name the folder of a classifier, as --pretrained=runs/classified'
    )
  with text_lines.reading(given['input']) as texts, text_lines.writing(given['output']) as write:
    for predicted in prediction.predictions(saved_classifier.load(given['pretrained']), texts):
      write(json.dumps(predicted))


if __name__ == '__main__':
  launch.launch(main, FLAGS)
