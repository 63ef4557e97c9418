"""The files of a run are read as they were written: what was not measured is None, what is not finite is no number."""

import json
import math

import pytest

from experiments.results import run_files


def _write(folder, **entries):
  run_files.write_summary(
    {'rounds': 2, 'eval/loss': 1.5, 'eval/perplexity': 4.5, 'diverged_round': None} | entries, folder
  )


def test_a_summary_comes_back(tmp_path):
  assert run_files.read_summary(tmp_path) is None
  _write(tmp_path, **{'eval/perplexity': None, 'eval/loss': math.inf})
  written = json.loads((tmp_path / 'summary.json').read_text())
  assert written == {'rounds': 2, 'eval/loss': None, 'eval/perplexity': '', 'diverged_round': None}
  read = run_files.read_summary(tmp_path)
  assert math.isnan(read.pop('eval/loss'))
  assert read == {'rounds': 2, 'eval/perplexity': None, 'diverged_round': None}


def test_the_last_row_gets_the_probe(tmp_path):
  assert run_files.read_rows(tmp_path, None) == []
  (tmp_path / 'metrics.csv').write_text('round,eval/loss\n0,2.5\n1,\n')
  assert run_files.read_rows(tmp_path, {'rounds': 1}) == [
    {'round': 0, 'eval/loss': 2.5},
    {'round': 1, 'eval/loss': None},
  ]
  _, last = run_files.read_rows(tmp_path, {'probe/accuracy': 0.5})
  assert last == {'round': 1, 'eval/loss': None, 'probe/accuracy': 0.5}


@pytest.mark.parametrize('content', ['', '{"settings": ', '[]', '{"settings": 3}'])
def test_what_is_no_config_is_refused(content, tmp_path):
  with pytest.raises(ValueError, match=r'config\.json cannot be read'):
    run_files.read_config(tmp_path)
  (tmp_path / 'config.json').write_text(content)
  with pytest.raises(ValueError, match=r'config\.json (cannot be read|is not the config of a run)'):
    run_files.read_config(tmp_path)


def test_half_a_summary_is_refused(tmp_path):
  (tmp_path / 'summary.json').write_text('{"rounds"')
  with pytest.raises(ValueError, match=r'summary\.json cannot be read'):
    run_files.read_summary(tmp_path)
