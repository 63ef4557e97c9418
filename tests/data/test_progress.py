"""Progress: lines of their own for what is news, a bar on terminals only, and the time that is left."""

import io

import pytest

from data import progress


class _Terminal(io.StringIO):
  def isatty(self) -> bool:
    return True


@pytest.fixture(name='clock')
def _clock(monkeypatch):
  now = [100.0]
  monkeypatch.setattr('time.monotonic', lambda: now[0])
  return now


def test_lines_tell_the_time_left_from_what_was_done_here(clock, capsys):
  with progress.Progress('round', total=10, done=4) as bar:
    clock[0] += 60.0
    bar.advance(state='loss 2', is_news=True)
    bar.advance(4, state='loss 1', is_news=True)
    bar.advance(state='loss 0', is_news=True)
  # A round of six took a minute, so five more take five; five took one, so one more takes 0.2; then nothing is left.
  assert capsys.readouterr().err.splitlines() == [
    'round 5/10, 5.0 min left, loss 2',
    'round 9/10, 0.2 min left, loss 1',
    'round 10/10, loss 0',
  ]


def test_what_is_no_news_is_said_every_ten_seconds(clock, capsys):
  with progress.Progress('image', task='reading') as bar:
    bar.show('a.png')
    for seconds in (4.0, 4.0, 4.0, 4.0):
      clock[0] += seconds
      bar.advance(500)
  assert capsys.readouterr().err.splitlines() == ['reading', 'reading: image 1,500']


def test_a_terminal_has_a_bar_and_news_above_it(monkeypatch):
  terminal = _Terminal()
  monkeypatch.setattr('sys.stderr', terminal)
  with progress.Progress('run', total=3, done=1) as bar:
    bar.show('b')
    bar.advance(state='b is done', is_news=True)
  shown = [line.strip() for line in terminal.getvalue().replace('\r', '\n').split('\n') if line.strip()]
  assert any(line.startswith('run 2/3, ') and line.endswith('b is done') for line in shown)
  assert '2/3' in shown[-1] and 'b' in shown[-1]
