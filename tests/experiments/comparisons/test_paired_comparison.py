"""Settings against the first one: the numbers, what they are printed as, and which runs are not paired."""

import json
import math
import re

import numpy as np
import pytest

from experiments.command import failures
from experiments.comparisons import page as comparison_page
from experiments.comparisons import paired_comparison
from experiments.comparisons import runs
from experiments.comparisons import table
from experiments.results import heldout_units
from experiments.results import metrics
from tests import binaries

_TOKENS = np.array([100.0, 300.0, 50.0, 0.0, 250.0] * 20)  # Of 100 clients, 20 of which have nothing to predict.
_LEVEL = np.random.default_rng(0).normal(5.0, 0.5, 100)  # Nats a token of each client.


def _clients(loss, tokens=_TOKENS):
  """Units of a language model whose loss a token on each client is `_LEVEL` and `loss` more, float or [clients]."""
  names = [(f'{number:016x}', '') for number in range(len(tokens))]
  losses = tokens * (_LEVEL[: len(tokens)] + loss)
  return heldout_units.HeldoutUnits(names, tokens, losses, np.zeros(len(tokens)))


def _write(folder, units, seed=0, megabytes=1.0, rounds=2, changes=None, **settings):
  """Leaves a finished run of which nothing but the last evaluation was recorded; `changes` are of `metrics.csv`."""
  folder.mkdir(parents=True)
  settings = {'model': 'm', 'rounds': rounds, 'seed': seed, 'output_dir': str(folder)} | settings
  config = {'settings': settings, 'dataset_hash': 'abcdef', 'num_parameters': 7}
  (folder / 'config.json').write_text(json.dumps(config))
  (folder / 'summary.json').write_text(json.dumps({'rounds': 2}))
  total = units.num_predicted.sum()
  measured = {'eval/loss': 1.0, 'eval/accuracy': units.num_correct.sum() / total}
  if not units.are_examples:
    measured['eval/perplexity'] = math.exp(units.loss_sum.sum() / total)
  sent = {f'{way}_bytes_total': round(megabytes * 1e6) for way in ('upload', 'download')}
  row = {'round': 2, 'num_clients': 5} | sent | measured | (changes or {})
  lines = [metrics.HEADER.strip(), ','.join(str(row.get(name, '')) for name in metrics.COLUMNS)]
  (folder / 'metrics.csv').write_text('\n'.join(lines) + '\n')
  heldout_units.write(units, folder)
  return folder


def _compare(tmp_path):
  groups = runs.groups([runs.read(folder) for folder in sorted(tmp_path.iterdir())])
  return groups, paired_comparison.compare(groups)


def test_perplexities_by_their_ratio_over_the_seeds_that_both_have(tmp_path):
  for seed, losses in ((0, (0.00, 0.02)), (1, (0.01, 0.05)), (2, (0.50, None)), (3, (None, 0.90))):
    for name, loss, megabytes in zip('ab', losses, (2.0, 1.0), strict=True):
      if loss is not None:
        _write(tmp_path / f'{name}{seed}', _clients(loss), seed, megabytes, upload=name)
  groups, found = _compare(tmp_path)
  assert [group.label for group in groups] == ['a', 'b']
  first, second = found.paired
  assert first is None
  # Seeds 0 and 1: 0.02 and 0.04 nats, the same on all clients: e^0.03 = 1.030455, without any doubt.
  assert second.difference.mean == pytest.approx(3.0455, abs=1e-4)
  assert second.difference.low == pytest.approx(3.0455, abs=1e-4) == second.difference.high
  assert second.difference.p_value < 0.001
  # e^0.02 = 1.020201 and e^0.04 = 1.040811, of which the sample deviation is 0.020609 / sqrt(2) = 0.014573.
  assert second.deviation == pytest.approx(1.4573, abs=1e-4)
  columns = table.columns(groups[0].quality, paired=found)
  assert columns[5:9] == ['accuracy', 'perplexity against reference, %', '95 % interval', 'p-value']
  rows = table.cells(groups, paired=found)
  assert [len(row) for row in rows] == [len(columns)] * 2
  assert rows[0][6:9] == ['reference', '', '']
  assert rows[1][6:9] == ['+3.05 ± 1.46', '+3.05 to +3.05', '< 0.001']
  (note,) = found.notes
  assert note.startswith('The reference is the first setting. Perplexities are compared by their ratio')
  assert '10,000 resamples of the 80 held-out clients that judged them' in note
  assert 'nothing of other seeds' in note


def test_a_difference_within_what_clients_differ_by_is_in_doubt(tmp_path):
  noise = np.random.default_rng(1).normal(0.0, 0.1, 100)
  noise -= np.average(noise, weights=_TOKENS)
  _write(tmp_path / 'a', _clients(0.0), megabytes=2.0, upload='a')
  _write(tmp_path / 'b', _clients(noise), upload='b')
  _write(tmp_path / 'c', _clients(noise + 0.2), megabytes=0.5, upload='c')
  _, found = _compare(tmp_path)
  _, doubtful, sure = found.paired
  assert doubtful.difference.low < 0 < doubtful.difference.high and doubtful.difference.p_value > 0.05
  assert sure.difference.mean == pytest.approx(22.14, abs=0.005)  # e^0.2 = 1.2214
  assert 0 < sure.difference.low < 22.14 < sure.difference.high and sure.difference.p_value < 0.001
  assert doubtful.deviation is None


@pytest.mark.parametrize('of_probe', [False, True])
def test_accuracies_by_their_difference_over_examples(of_probe, tmp_path):
  # Of 400 examples a gets 300 right; b gets 30 of those wrong and 70 of the others right: 40 / 400 = 10 points more.
  right = np.repeat([True, False], [300, 100])
  changed = np.concatenate([np.repeat([False, True], [30, 270]), np.repeat([True, False], [70, 30])])
  for name, correct, megabytes in (('a', right, 2.0), ('b', changed, 1.0)):
    units = heldout_units.of_examples(correct)
    if not of_probe:
      names = [(f'client {i % 10}', str(i // 10)) for i in range(400)]
      units = units._replace(names=names, loss_sum=np.ones(400))
    folder = _write(
      tmp_path / name, units, megabytes=megabytes, upload=name, changes={'eval/accuracy': 0.1} if of_probe else None
    )
    if of_probe:
      (folder / 'summary.json').write_text(json.dumps({'rounds': 2, 'probe/accuracy': correct.mean()}))
  groups, found = _compare(tmp_path)
  difference = found.paired[1].difference
  # The standard error is sqrt((100 / 400 - 0.01) / 400) = 0.02449, so that 95 % are 4.8 points to either side.
  assert difference.mean == pytest.approx(10.0)
  assert difference.low == pytest.approx(5.2, abs=0.5) and difference.high == pytest.approx(14.8, abs=0.5)
  name = 'probe accuracy' if of_probe else 'accuracy'
  assert f'{name} against reference, points' in table.columns(groups[0].quality, paired=found)
  assert 'the 400 held-out examples that judged them' in found.notes[0]


def _truncated(folder):
  (folder / 'summary.json').write_text(json.dumps({'rounds': 1}))


def _without_file(folder):
  (folder / 'heldout.csv').unlink()


def _of_other_data(folder):
  config = json.loads((folder / 'config.json').read_text())
  (folder / 'config.json').write_text(json.dumps(config | {'dataset_hash': 'other'}))


def _left_alone(folder):
  del folder


def _of_another_round(folder):
  heldout_units.write(_clients(0.5), folder)


def _without_losses(folder):
  heldout_units.write(_clients(0.0)._replace(loss_sum=None), folder)


_FEWER = _TOKENS[:10]
_OTHER_TOKENS = np.where(_TOKENS == 50.0, 51.0, _TOKENS)
_CASES = {
  'no file': (_clients(0.1), {}, _without_file, r'b has no heldout.csv: an older version made it, or examples'),
  'unfinished': (_clients(0.1), {}, _truncated, 'b is unfinished'),
  'diverged': (_clients(0.1), dict(changes={'eval/perplexity': math.inf}), _left_alone, 'b has diverged'),
  'other clients': (_clients(0.1, _FEWER), {}, _left_alone, 'a were judged by different clients or examples'),
  'other tokens': (_clients(0.1, _OTHER_TOKENS), {}, _left_alone, 'a were judged by different clients or examples'),
  'other data': (_clients(0.1), {}, _of_other_data, 'a were judged by different clients or examples'),
  'one client': (_clients(0.1, _TOKENS[:1]), {}, _left_alone, 'b was judged by a single client'),
  'stale': (_clients(0.1), {}, _of_another_round, 'heldout.csv of .*b is not of its last evaluation'),
  'no losses': (_clients(0.1), {}, _without_losses, 'heldout.csv of .*b is not of its last evaluation'),
  'other seed': (_clients(0.1), dict(seed=5), _left_alone, 'b and a have no seed in common'),
}


@pytest.mark.parametrize('case', _CASES)
def test_what_is_not_paired_has_empty_cells_and_a_reason(case, tmp_path):
  units, settings, spoil, reason = _CASES[case]
  _write(tmp_path / 'a', _clients(0.0), megabytes=3.0, upload='a')
  spoil(_write(tmp_path / 'b', units, megabytes=2.0, upload='b', **settings))
  _write(tmp_path / 'c', _clients(0.2), upload='c')
  groups, found = _compare(tmp_path)
  labels = [group.label.split(', ')[-1] for group in groups]
  cells = dict(zip([label[-1] for label in labels], paired_comparison.cells(found), strict=True))
  assert cells['b'] == [''] * 3
  assert cells['a'][0] == 'reference' and cells['c'][0] == '+22.14'  # e^0.2
  (note,) = found.notes[1:]
  assert re.fullmatch(f'Not paired: .*{reason}.*', note)


def test_without_the_file_of_the_reference_nothing_is_paired(tmp_path):
  _without_file(_write(tmp_path / 'a', _clients(0.0), megabytes=2.0, upload='a'))
  _write(tmp_path / 'b', _clients(0.1), upload='b')
  groups, found = _compare(tmp_path)
  assert found.paired == [None, None]
  assert found.notes == [
    f'Not paired: {tmp_path}/a has no heldout.csv: an older version made it, or examples were judged by comparison.'
  ]
  assert [row[6:9] for row in table.cells(groups, paired=found)] == [['reference', '', ''], [''] * 3]


@pytest.mark.parametrize('case', ['unfinished', 'diverged'])
def test_the_reference_is_the_first_that_is_finished_and_finite(case, tmp_path):
  units, settings, spoil, reason = _CASES[case]
  spoil(_write(tmp_path / 'b', units, megabytes=8.0, upload='b', **settings))
  _write(tmp_path / 'a', _clients(0.0), megabytes=2.0, upload='a')
  _write(tmp_path / 'c', _clients(0.2), megabytes=0.5, upload='c')
  groups, found = _compare(tmp_path)
  assert [group.label for group in groups] == ['b', 'a', 'c'] and found.reference == 1
  assert found.notes[0].startswith('The reference is the first setting that is finished and finite, a. ')
  assert re.fullmatch(f'Not paired: .*{reason}.*', found.notes[1]) and len(found.notes) == 2
  columns = table.columns(groups[0].quality, paired=found)
  rows = [dict(zip(columns, row, strict=True)) for row in table.cells(groups, paired=found)]
  assert [row['perplexity against reference, %'] for row in rows] == ['', 'reference', '+22.14']  # e^0.2
  assert [row['upload reduced'] for row in rows][1:] == ['1.0x', '4.0x']
  assert 'is against the first setting that is finished and finite, a.' in comparison_page.render(
    groups, {}, paired=found
  )


def test_a_classifier_that_diverged_is_not_paired(tmp_path):
  for name, loss in (('a', 1.0), ('b', math.nan), ('c', 1.0)):
    units = heldout_units.of_examples(np.repeat([True, False], [300, 100]))
    _write(tmp_path / name, units, upload=name, changes={'eval/loss': loss})
  _, found = _compare(tmp_path)
  assert [paired is None for paired in found.paired] == [True, True, False]
  assert f'Not paired: {tmp_path}/b has diverged.' in found.notes


def test_if_none_is_finished_and_finite_the_first_is_the_reference(tmp_path):
  for name, megabytes in (('a', 2.0), ('b', 1.0)):
    _truncated(_write(tmp_path / name, _clients(0.1), megabytes=megabytes, upload=name))
  groups, found = _compare(tmp_path)
  assert found.reference == 0 and found.notes == [f'Not paired: {tmp_path}/a is unfinished.']
  assert [row[-2] for row in table.cells(groups, paired=found)] == ['1.0x', '2.0x']


def test_a_damaged_file_is_refused_in_one_line(tmp_path):
  _write(tmp_path / 'a', _clients(0.0), megabytes=2.0, upload='a')
  _write(tmp_path / 'b', _clients(0.1), upload='b')
  (tmp_path / 'b' / 'heldout.csv').write_text('client_id\n')
  with pytest.raises(
    failures.UsageError, match=r'b/heldout\.csv cannot be read: .*; delete it or leave .*b out of --runs'
  ):
    _compare(tmp_path)


def test_the_binary_tells_table_page_and_file(tmp_path):
  _write(tmp_path / 'runs' / 'a', _clients(0.0), megabytes=2.0, upload='a')
  _write(tmp_path / 'runs' / 'b', _clients(0.1), upload='b')
  _without_file(_write(tmp_path / 'runs' / 'c', _clients(0.1), megabytes=0.5, upload='c'))
  process = binaries.run(
    'experiments.compare', [f'--runs={tmp_path}/runs/*', f'--output_dir={tmp_path}/out', '--target=100']
  )
  assert process.returncode == 0, process.stderr
  page, text = ((tmp_path / 'out' / name).read_text() for name in ('index.html', 'comparison.md'))
  assert '| +10.52 | +10.52 to +10.52 | < 0.001 |' in text  # e^0.1
  assert re.search('<td data-name="perplexity against reference, %" data-value="10.517[0-9]+">\\+10.52</td>', page)
  assert re.search('<td data-name="p-value" data-value="[0-9.e-]+">&lt;&nbsp;0.001</td>', page)
  for sentence in ('The reference is the first setting.', f'Not paired: {tmp_path}/runs/c has no heldout.csv'):
    assert sentence in text and page.index('</table>') < page.index(sentence)
  alone = binaries.run('experiments.compare', [f'--runs={tmp_path}/runs/a', f'--output_dir={tmp_path}/alone'])
  assert alone.returncode == 0, alone.stderr
  assert 'reference' not in alone.stdout and 'Not paired' not in alone.stdout
