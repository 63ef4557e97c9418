"""What runs and comparisons leave is read in Python, and shown in a notebook without harm."""

import base64
import json
import os
import pathlib

import pytest

from experiments.command import failures
from experiments.results import metrics
from experiments.results import result_folder

_PNG = b'\x89PNG of a kind'


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
  (tmp_path / 'config.json').write_text(json.dumps({'settings': {'rounds': 1, 'upload': 'identity'}}))
  (tmp_path / 'metrics.csv').write_text(metrics.HEADER)
  summary = {'rounds': 1, 'eval/loss': 2.34567, 'upload_bytes_total': 1234567, 'note': '<b>', 'peak': {'main': 3}}
  (tmp_path / 'summary.json').write_text(json.dumps(summary | {'diverged_round': None}))
  (tmp_path / 'b.png').write_bytes(_PNG)
  return tmp_path


def test_a_run_is_read(folder):
  run = result_folder.RunFolder(folder)
  assert os.fspath(run) == str(folder) and repr(run) == f"RunFolder('{folder}')"
  assert run.settings == {'rounds': 1, 'upload': 'identity'}
  assert run.summary['upload_bytes_total'] == 1234567 and run.rows == []
  assert run.pictures == [folder / 'b.png'] and run.objects == {}


def test_a_run_under_way_has_no_summary_yet(folder):
  (folder / 'summary.json').unlink()
  run = result_folder.RunFolder(folder)
  assert run.summary == {} and '<table>' in run._repr_html_()


def test_a_notebook_shows_numbers_with_units_and_pictures(folder):
  shown = result_folder.RunFolder(folder)._repr_html_()
  assert '<tr><td>upload_bytes_total</td><td>1.23 MB</td></tr>' in shown
  assert '<tr><td>eval/loss</td><td>2.346</td></tr>' in shown and '<tr><td>diverged_round</td><td></td></tr>' in shown
  assert '<td>&lt;b&gt;</td>' in shown and 'peak' not in shown
  assert (
    f'<p>b</p><img alt="b" style="max-width: 100%" src="data:image/png;base64,{base64.b64encode(_PNG).decode()}"'
    in shown
  )


def test_a_comparison_shows_its_tables_and_sentences(tmp_path):
  (tmp_path / 'comparison.md').write_text(
    '| setting | MB |\n|---|---|\n| `a\\|b<i>` | 3 |\n\nOne **sentence** & another.\n'
  )
  shown = result_folder.ComparisonFolder(tmp_path)._repr_html_()
  assert shown == (
    '<table><tr><th>setting</th><th>MB</th></tr><tr><td><code>a|b&lt;i&gt;</code></td><td>3</td></tr></table>\n'
    '<p>One sentence &amp; another.</p>'
  )


def test_what_is_no_run_is_said_to_be_none(tmp_path):
  with pytest.raises(ValueError, match=r'config\.json cannot be read'):
    _ = result_folder.RunFolder(tmp_path).settings


def test_an_object_for_a_flag_that_had_none_is_refused(tmp_path):
  settings = {'model': 'object(name="Mine()")', 'upload': 'uniform|object(name="Half()")', 'rounds': 3}
  (tmp_path / 'config.json').write_text(json.dumps({'settings': settings}))
  run = result_folder.RunFolder(tmp_path)
  run.check_object('model')
  run.check_object('upload')
  for flag in ('modle', 'rounds'):
    with pytest.raises(failures.UsageError, match=f'the run had no object for {flag}; it had model, upload'):
      run.check_object(flag)
  absent = result_folder.RunFolder(tmp_path / 'an export')
  absent.check_object('model')
  with pytest.raises(ValueError, match='there is no folder'):
    _ = absent.rows
