"""The loop of docs/guides/scripts.md trains, in the worker of the suite."""

import pathlib

from data.sources import text as text_lib
from examples import own_loop


def test_trains(tmp_path: pathlib.Path, monkeypatch):
  monkeypatch.setenv('LEANFED_CACHE', str(tmp_path / 'cache'))
  for client in 'abcdef':
    (tmp_path / 'text' / client).mkdir(parents=True)
    (tmp_path / 'text' / client / 'x.txt').write_text('A cat sat on a mat.\nA dog ran into a house.\n')
  losses = own_loop.train(text_lib.text(path=str(tmp_path / 'text'), vocabulary=60), rounds=3, clients_per_round=3)
  assert len(losses) == 3 and losses[2] < losses[0]
