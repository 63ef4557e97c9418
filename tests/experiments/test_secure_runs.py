"""Runs whose clients are hidden, from the outside: what they count, what they refuse, and what must not change."""

import json

import pytest

from experiments.results import metrics
from tests import language_model_runs as runs

_SUM = 'modular(bits=16, limit=1.0)'
_NOISY = 'distributed(clip=0.1, noise_multiplier=1.0, delta=1e-5)'


def _run(text, environment, output_dir, **flags):
  given = dict(secure_sum=_SUM, upload='identity', client_weighting='uniform', runtime='in_process') | flags
  return runs.finish(runs.command(text, output_dir, **given), environment)


@pytest.fixture(scope='module')
def finished(text, environment, tmp_path_factory):
  """A private run, whose clients add the noise and sometimes vanish."""
  output_dir = tmp_path_factory.mktemp('hidden') / 'run'
  process = _run(
    text,
    environment,
    output_dir,
    privacy=_NOISY,
    secure_sum='modular(bits=20)',
    client_dropout='bernoulli(rate=0.3)',
  )
  assert process.returncode == 0, process.stderr
  return output_dir, process


def test_bytes_add_up(finished):
  output_dir, _ = finished
  rows = metrics.read(output_dir / 'metrics.csv')[1:]
  parts = ('values', 'side', 'weights', 'keys')
  for row in rows:
    assert row['upload_bytes'] == sum(row[f'upload_bytes_{part}'] for part in parts)
    # 5 clients, each of whom gets 2 keys and 2 shares of 4 others, and the list if it answers, a byte.
    answered = (row['upload_bytes_keys'] - 64 * 25) // (32 * 5)
    assert 0 <= answered <= 5
    assert row['download_bytes_keys'] == 5 * 4 * 128 + answered
    assert row['download_bytes'] > row['download_bytes_keys']
    # Two thirds of 5 are 4.
    assert row['aborted_rounds'] == (answered < 4)
    assert row['wrapped_values'] == 0
  assert len({row['upload_bytes'] for row in rows}) > 1
  assert rows[-1]['upload_bytes_total'] == sum(row['upload_bytes'] for row in rows)


def test_the_end_says_what_was_lost(finished):
  output_dir, process = finished
  rows = metrics.read(output_dir / 'metrics.csv')[1:]
  lost = json.loads((output_dir / 'summary.json').read_text())['secure_sum']
  assert lost == {name: sum(row[name] for row in rows) for name in ('wrapped_values', 'cut_values', 'aborted_rounds')}
  said = (
    f'wrapped values {lost["wrapped_values"]}, cut values {lost["cut_values"]}, aborted rounds {lost["aborted_rounds"]}'
  )
  assert said in process.stdout


def test_noise_is_that_of_the_clients(finished):
  output_dir, _ = finished
  for row in metrics.read(output_dir / 'metrics.csv')[1:]:
    answered = (row['upload_bytes_keys'] - 64 * 25) // (32 * 5)
    expected = 0.0 if row['aborted_rounds'] else 0.1 / 5 * (answered / 4) ** 0.5
    assert row['noise_stddev'] == pytest.approx(expected, rel=0.1)
  privacy = json.loads((output_dir / 'summary.json').read_text())['privacy']
  assert privacy['neighbours'] == 'one client sends zeros instead'


@pytest.mark.parametrize(
  'changed', [dict(secure_sum='modular(bits=19)'), dict(secure_sum='modular(bits=20, threshold=0.9)')]
)
def test_another_sum_is_refused(changed, finished, text, environment):
  output_dir, _ = finished
  given = dict(privacy=_NOISY, client_dropout='bernoulli(rate=0.3)') | changed
  process = _run(text, environment, output_dir, **given)
  assert process.returncode == 2
  assert 'choose a new --output_dir' in process.stderr


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (dict(secure_sum='modular'), 'give limit, as in modular(limit=0.1)'),
    (dict(secure_sum='modular(bits=30, limit=1)'), 'bits'),
    (dict(secure_sum='modular(bits=30.5, limit=1)'), 'bits'),
    (dict(secure_sum='modular(limit=0)'), 'limit'),
    (dict(secure_sum='masked'), "unknown secure_sum 'masked'"),
    (dict(client_weighting='examples'), 'use --client_weighting=uniform'),
    (dict(upload='uniform(bits=8)'), 'the secure sum rounds by itself'),
    (dict(upload='topk'), 'cannot be added up unseen'),
    (dict(upload='rate_distortion'), 'a secure sum has one grid for all'),
    (dict(algorithm='mime_lite'), 'use another algorithm'),
    (dict(download='select(vocabulary=20)'), 'leave out --download=select'),
    (dict(privacy=_NOISY, secure_sum='none'), 'use it with --secure_sum=modular'),
    (dict(privacy='tree(clip=0.1, noise_multiplier=1, delta=1e-5)', secure_sum='modular(bits=4)'), 'too coarse'),
    (
      dict(privacy='gaussian(clip=0.1, noise_multiplier=1, delta=1e-5)', secure_sum='modular'),
      'coins bring one or none too often',
    ),
    (
      dict(
        privacy='gaussian(clip=0.1, noise_multiplier=1, delta=1e-5)',
        secure_sum='modular',
        client_dropout='bernoulli(rate=0.1)',
      ),
      'leave --client_dropout out',
    ),
    (dict(privacy='adaptive_clip(noise_multiplier=0.2, delta=1e-5)'), 'limit does not follow a clip that changes'),
    (
      dict(privacy='distributed(clip=0.1, epsilon=1e-9, delta=1e-5)', secure_sum='modular(bits=20)'),
      'allow a larger epsilon',
    ),
    (
      dict(privacy='distributed(clip=0.1, noise_multiplier=9999, delta=1e-5)', secure_sum='modular(bits=24)'),
      'more than can be drawn and summed: lower bits, or raise limit',
    ),
    (dict(clients_per_round=1), 'a sum of one client is that client'),
  ],
)
def test_what_cannot_be_is_one_line(flags, message, text, environment, tmp_path):
  output_dir = tmp_path / 'run'
  process = _run(text, environment, output_dir, **flags)
  assert process.returncode == 2, process.stderr
  assert message in process.stderr
  assert process.stderr.strip().splitlines()[-1].startswith('error: ')
  assert 'Traceback' not in process.stderr
  assert not (output_dir / 'metrics.csv').exists()
