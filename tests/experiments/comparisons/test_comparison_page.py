"""The page of a comparison: whole in one file, well-formed, honest about what is unfinished, and deaf to markup."""

import base64
import html.parser
import pathlib
import re

import pytest

from experiments.comparisons import page as comparison_page
from experiments.comparisons import page_script
from experiments.comparisons import plots
from experiments.comparisons import runs as run_comparison
from experiments.results import quality

_VOID = ('meta', 'img', 'input', 'link', 'br', 'wbr')


class _Reader(html.parser.HTMLParser):
  """Collects text, attributes and tags; fails on a tag that closes another."""

  def __init__(self, page):
    super().__init__()
    self.open, self.tags, self.addresses, self.words = [], [], [], []
    self.feed(page)
    assert self.open == []

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.addresses += [value for name, value in attrs if name in ('src', 'href', 'srcset', 'action')]
    assert not any(name.startswith('on') for name, _ in attrs)
    if tag not in _VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.words.append(data.replace('\N{NO-BREAK SPACE}', ' '))


def _run(folder, perplexities, seed=0, sent=1_000_000, finished=True, **settings):
  points = [
    run_comparison.Point(number, value, 0.1, sent * number, 2 * sent * number, 5 * number)
    for number, value in enumerate(perplexities)
  ]
  settings = {'model': 'lstm', 'upload': 'identity', 'rounds': 2, 'seed': seed, 'output_dir': folder} | settings
  config = {
    'settings': settings, 'dataset_hash': 'feed1234', 'num_parameters': 7, 'packages': {'numpy': '1.25.2'}, 'git_commit': 'c0de',
  }  # fmt: skip
  return run_comparison.Run(pathlib.Path(folder), config, points, finished, quality.PERPLEXITY)


@pytest.fixture(name='pictures')
def _pictures(tmp_path):
  (tmp_path / 'a.png').write_bytes(b'\x89PNG picture')
  return {'A picture': tmp_path / 'a.png'}


def test_holds_everything_that_repeats_a_run(pictures):
  runs = [
    _run('runs/a0', [9.0, 5.0]),
    _run('runs/a1', [9.0, 7.0], seed=1),
    _run('runs/b', [9.0, 4.0], upload='clip|sign', pretrained=None, measure_distortion=True),
  ]
  page = comparison_page.render(run_comparison.groups(runs), pictures)
  reader = _Reader(page)
  text = ''.join(reader.words)
  assert 'for seed in 0 1; do\n  python -m experiments.language_model --model=lstm --upload=identity --rounds=2' in text
  assert (
    "  python -m experiments.language_model --model=lstm '--upload=clip|sign' --rounds=2 --measure_distortion=true "
    '--seed=$seed --output_dir=runs/repeated/' in text
  )
  for fact in ('feed1234', 'c0de', 'numpy 1.25.2', 'runs/a0, runs/a1', '6.0 ± 1.4'):
    assert fact in text
  assert 'unfinished' not in text
  assert reader.addresses == ['data:image/png;base64,' + base64.b64encode(b'\x89PNG picture').decode()]
  assert reader.tags.count('script') == 1 and page.count(page_script.SCRIPT) == 1 and 'link' not in reader.tags
  assert not re.search(r'url\(|@import|https?:', page)


def test_a_run_of_another_binary_is_repeated_by_it(pictures):
  run = _run('runs/a', [9.0, 5.0])
  run.config['binary'] = 'text_classification'
  text = ''.join(_Reader(comparison_page.render(run_comparison.groups([run]), pictures)).words)
  assert 'python -m experiments.text_classification --model=lstm' in text


def test_text_of_runs_is_never_markup(pictures):
  evil = '<script>alert("x")</script><img src=x onerror=y>&\'"'
  runs = [_run(f'runs/{evil}', [9.0, 5.0]), _run('b', [9.0, 4.0], upload=evil)]
  runs[0].config['git_commit'] = evil
  runs[1].config['packages'][evil] = evil
  page = comparison_page.render(run_comparison.groups(runs), {evil: pictures['A picture']}, [evil])
  reader = _Reader(page)
  assert reader.tags.count('script') == 1 and reader.tags.count('img') == 1
  assert ''.join(reader.words).count(evil) >= 6


def test_says_what_does_not_compare(pictures):
  runs = [_run('a', [9.0, 5.0]), _run('b', [9.0, 4.0], upload='sign', finished=False)]
  runs[1].config['dataset_hash'] = 'other'
  text = ''.join(_Reader(comparison_page.render(run_comparison.groups(runs), pictures, ['c: left out'])).words)
  assert 'These runs have different data sets: their quality does not compare.' in text
  assert 'Some runs are unfinished' in text and '1 of 2, unfinished' in text
  assert 'c: left out' in text


def test_draws_quality_against_clients_where_they_differ(tmp_path):
  runs = [
    _run(f'{n}', [0.25, 0.5 + 0.125 / n], partition=f'iid(clients={n})')._replace(quality=quality.ACCURACY)
    for n in (1, 2, 32)
  ]
  runs = [
    run._replace(points=[point._replace(client_rounds=point.round * n) for point in run.points])
    for n, run in zip((1, 2, 32), runs, strict=True)
  ]
  paths = plots.draw(run_comparison.groups(runs), tmp_path)
  assert paths['Final accuracy against clients a round'] == tmp_path / 'clients.png'
  assert paths['Accuracy against rounds'].read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'


def test_draws_no_curves_of_single_evaluations(tmp_path):
  run = _run('a', [0.25, 0.5])
  run = run._replace(points=run.points[-1:], quality=quality.PROBE)
  paths = plots.draw(run_comparison.groups([run]), tmp_path)
  assert sorted(path.name for path in tmp_path.iterdir()) == ['download.png', 'pareto.png']
  assert list(paths) == [
    'Probe accuracy against megabytes downloaded',
    'Final probe accuracy against megabytes uploaded',
  ]


def test_draws_every_picture_of_any_number_of_groups(tmp_path):
  runs = [_run(f'{n}', [500.0, 90.0 + n], sent=10**n, upload=f'{"long " * 5 * n}{n}') for n in range(9)]
  runs.append(_run('diverged', [500.0, float('inf')], upload='sign'))
  runs.append(_run('nothing sent', [500.0, 400.0], sent=0, upload='none'))
  paths = plots.draw(run_comparison.groups(runs), tmp_path)
  assert sorted(path.name for path in paths.values()) == ['download.png', 'pareto.png', 'rounds.png', 'upload.png']
  assert all(path.read_bytes()[:8] == b'\x89PNG\r\n\x1a\n' for path in paths.values())


def test_numbers_to_sort_by_are_exact_and_missing_where_nothing_was_measured(pictures):
  runs = [_run('a', [9.0, 1 / 3]), _run('b', [9.0, float('inf')], upload='sign')]
  page = comparison_page.render(run_comparison.groups(runs), pictures, target=0.25)
  assert f'data-name="perplexity" data-value="{1 / 3!r}">0.3<' in page
  assert 'data-name="perplexity">diverged<' in page  # No number: last in either direction.
  assert 'data-name="MB up" data-value="1000000">1.0<' in page.replace('1000000.0', '1000000')
  assert 'data-name="rounds to 0.25">0 of 1 seeds<' in page
  assert page.count('data-name="Pareto front" data-value="1">yes<') == 1


def test_what_sorts_and_filters_is_hidden_until_the_script_runs(pictures):
  page = comparison_page.render(run_comparison.groups([_run('a', [9.0, 5.0])]), pictures)
  assert '<div id="controls" hidden>' in page
  assert '<option value="-1">nothing: as it was</option><option value="0">setting</option>' in page
  assert len(page_script.SCRIPT.strip().splitlines()) < 60
