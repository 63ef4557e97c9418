"""Classes and probabilities are those worked out by hand, whichever way the classifier was saved."""

import pytest

from data import tokenizer as tokenizer_lib
from experiments.central import prediction
from experiments.command import failures
from experiments.starts import exporting
from models import checkpoint
from tests.experiments import tiny_classifier

# By words: see `tiny_classifier` for 3/4, 1/4 and 1/2.
_TEXTS = {
  'good film': ('good', 0.75),
  'Bad, bad film! Good?': ('bad', 0.25),
  'good bad': ('good', 0.5),  # Of equal ones the first.
  'film': ('good', 0.5),
  'nonsense': ('good', 0.5),  # One unknown word.
  'good good good good bad bad bad bad bad': ('good', 0.75),  # Six words are read.
  'bad good good ' + 'film ' * 50: ('good', 0.75),
}
_NOTHING = ['', '   ', '\t\u200b']


@pytest.mark.parametrize('way', ['own', 'exported', 'unmasked', 'unmasked exported', 'lora', 'lora exported'])
def test_predictions_are_those_worked_out_by_hand(way, tmp_path):
  options = dict(attention_mask=False) if 'unmasked' in way else {}
  folder = tiny_classifier.save(tmp_path / 'run', trainable='lora(rank=1)' if 'lora' in way else 'all', **options)
  if 'exported' in way:
    exporting.export(folder, tmp_path / 'exported')
    folder = tmp_path / 'exported'
  found = prediction.predict(folder, _TEXTS)
  assert [each['text'] for each in found] == list(_TEXTS)
  for each, (label, good) in zip(found, _TEXTS.values(), strict=True):
    assert list(each) == ['text', 'label', 'probabilities']
    assert each['label'] == label, each
    assert each['probabilities'] == pytest.approx(dict(good=good, bad=1 - good), abs=1e-6)


def test_a_text_of_nothing_has_no_class_and_the_others_keep_their_places(tmp_path):
  folder = tiny_classifier.save(tmp_path)
  found = prediction.predict(folder, ['bad', *_NOTHING, 'good'])
  assert [each['label'] for each in found] == ['bad', None, None, None, 'good']
  assert found[1] == dict(text='', label=None, probabilities={})
  assert prediction.predict(folder, []) == []


def test_more_texts_than_a_batch_come_in_order(tmp_path):
  folder = tiny_classifier.save(tmp_path)
  texts = ['good' if number % 3 else 'bad' for number in range(150)]
  assert [each['label'] for each in prediction.predict(folder, iter(texts))] == texts


@pytest.mark.parametrize('names', [(), ('same', 'same')])
def test_without_names_that_tell_classes_apart_numbers_do(names, tmp_path, capsys):
  folder = tiny_classifier.save(tmp_path, class_names=names)
  (found,) = prediction.predict(folder, ['bad'])
  assert found['label'] == '1' and found['probabilities'] == pytest.approx({'0': 0.25, '1': 0.75}, abs=1e-6)
  (line,) = capsys.readouterr().err.splitlines()
  assert line == 'the model does not tell its classes apart by name: they are called by their numbers'


def test_an_export_without_names_calls_classes_as_its_layout_does(tmp_path, capsys):
  exporting.export(tiny_classifier.save(tmp_path / 'run', class_names=()), tmp_path / 'exported')
  (found,) = prediction.predict(tmp_path / 'exported', ['bad'])
  assert found['label'] == 'LABEL_1' and list(found['probabilities']) == ['LABEL_0', 'LABEL_1']
  assert not capsys.readouterr().err


def test_other_models_are_answered_with_their_binary(tmp_path):
  tokenizer = tokenizer_lib.of_characters()
  description = checkpoint.Description('lstm(width=2, num_cells=2)', tokenizer.vocabulary_size, 8, tokenizer.model)
  checkpoint.save(tmp_path, {}, description, 1)
  with pytest.raises(
    failures.UsageError,
    match=r'holds a language model, not a classifier of texts: experiments.generate continues texts with it',
  ):
    prediction.predict(tmp_path, ['good'])
  with pytest.raises(failures.UsageError, match=r'holds no model\.safetensors'):
    prediction.predict(tmp_path / 'none', ['good'])


def test_scores_that_are_not_finite_are_refused(tmp_path):
  folder = tiny_classifier.save(tmp_path)
  loaded = checkpoint.load(folder)
  loaded.weights['head/classifier_kernel'][0, 0] = 3e38  # 3e38 tanh 1 + 3e38 is beyond float32.
  loaded.weights['head/classifier_bias'][:] = 3e38
  checkpoint.save(folder, loaded.weights, loaded.description, 3)
  with pytest.raises(failures.UsageError, match='the scores of the model are not finite'):
    prediction.predict(folder, ['good'])
