"""A classifier's score is the one worked out by hand, on data of its own classes only."""

import csv
import math

import pytest

from data import client_key
from data import holdout
from data import source as source_lib
from data.sources import csv_rows
from experiments.central import classifier_evaluation
from experiments.central import prediction
from experiments.command import failures
from experiments.starts import exporting
from models import checkpoint
from tests.experiments import tiny_classifier

_HELDOUT = [('good film', 'good'), ('bad bad', 'good'), ('film', 'good'), ('good bad', 'bad'), (' ', 'bad')]


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
  monkeypatch.setenv('LEANFED_CACHE', str(tmp_path / 'cache'))


def _source(
  class_names: tuple[str, ...] = tiny_classifier.CLASSES, sequence_length: int = 8
) -> source_lib.LabelledSource:
  def read():
    for number in range(30):
      yield 'train', source_lib.Example('a', f'good film {number}', class_names[number % 2])
    for text, label in _HELDOUT:
      yield 'heldout', source_lib.Example('b', text, label)

  return source_lib.LabelledSource('films', 'films', read, class_names, sequence_length=sequence_length)


def test_loss_and_accuracy_are_those_worked_out_by_hand(tmp_path, capsys):
  folder = tiny_classifier.save(tmp_path / 'run')
  measured = classifier_evaluation.evaluate(folder, _source(), 0)
  # Probabilities of the right class: 3/4, 1/4, 1/2 and 1/2, of which the first and, as the first of equal ones, the third
  # are right. The last text is empty.
  assert measured['eval/loss'] == pytest.approx(-math.log(3 / 4 * 1 / 4 * 1 / 2 * 1 / 2) / 4, abs=1e-5)
  assert measured['eval/accuracy'] == 0.5
  assert measured['eval/perplexity'] is None
  assert measured['num_examples'] == measured['num_clients'] == 4  # Each has one.
  assert measured['model_sha256'] == checkpoint.load(folder).content_hash
  assert classifier_evaluation.evaluate(folder, _source(), 3)['num_examples'] == 3
  exporting.export(folder, tmp_path / 'exported')
  exported = classifier_evaluation.evaluate(tmp_path / 'exported', _source(), 0)
  assert exported['eval/loss'] == pytest.approx(measured['eval/loss'], abs=1e-6)
  assert 'left out 1 examples without text' in capsys.readouterr().err


@pytest.mark.parametrize('has_users', [True, False])
def test_of_a_file_of_ones_own_it_is_what_predictions_add_up_to(has_users, tmp_path):
  folder = tiny_classifier.save(tmp_path / 'run', ('bad', 'good'))
  texts = [' '.join(('good', 'bad', 'film')[number // 3**place % 3] for place in range(4)) for number in range(81)]
  rows = [(text, ('bad', 'good')[number % 2], f'user {number % 20}') for number, text in enumerate(texts)]
  with (tmp_path / 'own.csv').open('w', newline='') as file:
    csv.writer(file).writerows([('text', 'label', 'user'), *rows])
  if has_users:
    users = holdout.choose({user for *_, user in rows})  # 2 of 20.
    heldout = [(text, label) for text, label, user in rows if user in users]
    assert len(users) == 2 and len(heldout) == 8
  else:
    hashes = {client_key.derive(text).client_id: (text, label) for text, label, _ in rows}
    # Of 41 and 40 texts a tenth, by the hash of the hash of the text.
    chosen = [holdout.choose({key for key, (_, label) in hashes.items() if label == each}) for each in ('bad', 'good')]
    heldout = [hashes[key] for keys in chosen for key in keys]
    assert len(heldout) == 4 + 4
  predicted = prediction.predict(folder, [text for text, _ in heldout])
  right = [label for _, label in heldout]
  num_right = sum(each['label'] == label for each, label in zip(predicted, right, strict=True))
  loss = -sum(math.log(each['probabilities'][label]) for each, label in zip(predicted, right, strict=True))
  source = csv_rows.csv_rows(str(tmp_path / 'own.csv'), user='user' if has_users else None, sequence_length=8)
  measured = classifier_evaluation.evaluate(folder, source, 0)
  assert measured['num_examples'] == 8 and measured['num_clients'] == (2 if has_users else 8)
  assert 0 < num_right < 8 and measured['eval/accuracy'] == num_right / 8
  assert measured['eval/loss'] == pytest.approx(loss / 8, abs=1e-6)


@pytest.mark.parametrize(
  ('source', 'said'),
  [
    (_source(('bad', 'good')), 'this model names good, bad, but --dataset has bad, good: choose the data set that it'),
    (_source(('good', 'bad', 'so so')), 'but --dataset has good, bad, so so'),
    (
      _source(('x' * 41, *map(str, range(30)))),
      f'but --dataset has {"x" * 40}, 0, 1, 2.* 18, ...: choose the data set',
    ),
    (_source(sequence_length=13), 'sequence_length=13 of --dataset is more than the 12 positions of the model: lower'),
  ],
)
def test_data_that_does_not_fit_is_refused(source, said, tmp_path):
  with pytest.raises(failures.UsageError, match=said):
    classifier_evaluation.evaluate(tiny_classifier.save(tmp_path / 'run'), source, 0)
  assert not (tmp_path / 'cache').exists()  # No data was read for that.


def test_a_model_without_names_is_refused(tmp_path):
  with pytest.raises(failures.UsageError, match=r'does not tell the names of its classes, .* --rounds=0'):
    classifier_evaluation.evaluate(tiny_classifier.save(tmp_path / 'run', class_names=()), _source(), 0)
