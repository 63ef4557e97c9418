"""The docstring corpus is the same every time and knows its packages."""

import collections
import pathlib
import re

import pytest

from data import errors
from data import source
from data.sources import docstring_worker
from data.sources import docstrings

_SMALL = {'pretrain': ('termcolor', 'pluggy'), 'train': ('click', 'tqdm'), 'heldout': ('iniconfig', 'pyparsing')}


def test_every_package_is_pinned_and_in_one_split_only():
  requirements = (pathlib.Path(__file__).parents[3] / 'requirements.txt').read_text()
  pins = re.findall(r'^([a-z0-9-]+)==', requirements, re.MULTILINE)
  named = [name for split in source.SPLITS for name in docstrings.DISTRIBUTIONS[split]]
  assert set(named) <= set(pins)
  assert len(named) == len(set(named))


def test_reads_modules_as_clients_and_no_sentence_twice(monkeypatch):
  monkeypatch.setattr(docstrings, 'DISTRIBUTIONS', _SMALL)
  found = list(docstrings.docstrings().read())
  assert found == list(docstrings.docstrings().read())
  texts = [example.text for _, example in found]
  assert len(texts) == len(set(texts)) > 1000
  expected = {(split, name) for split, names in _SMALL.items() for name in names}
  assert {(split, example.label) for split, example in found} == expected
  clients = collections.Counter(example.client for _, example in found)
  assert 'click.core' in clients and 'click' not in clients
  assert not any('test' in client.split('.') for client in clients)


def test_small_modules_are_left_out_of_training_and_evaluation_only(monkeypatch):
  monkeypatch.setattr(docstrings, 'DISTRIBUTIONS', _SMALL)
  everything = collections.Counter(split for split, _ in docstrings.docstrings(min_tokens=0).read())
  large = collections.Counter(split for split, _ in docstrings.docstrings(min_tokens=1000).read())
  assert large['pretrain'] == everything['pretrain']
  assert 0 < large['train'] < everything['train']
  assert 0 < large['heldout'] < everything['heldout']


def test_the_fingerprint_names_versions_and_arguments(monkeypatch):
  monkeypatch.setattr(docstrings, 'DISTRIBUTIONS', _SMALL)
  assert re.search(r' min_tokens=100 termcolor==\d\S* pluggy==\d', docstrings.docstrings().fingerprint)
  assert docstrings.docstrings().fingerprint != docstrings.docstrings(min_tokens=0).fingerprint


def test_a_missing_package_is_named_before_anything_is_read(monkeypatch):
  monkeypatch.setattr(docstrings, 'DISTRIBUTIONS', {'train': ('no-such-package',)})
  with pytest.raises(errors.DataError, match=r'no-such-package.*requirements.txt'):
    docstrings.docstrings()


def test_reads_every_documented_thing_of_a_file_in_order(tmp_path: pathlib.Path):
  file = tmp_path / 'a.py'
  file.write_text('"""Module of three words."""\nclass A:\n  """Class of three words."""\n  def f(self):\n'
                  '    """Method of three words."""\nasync def g():\n  """Function of three words."""\n')  # fmt: skip
  expected = [f'{thing} of three words.' for thing in ('Module', 'Class', 'Method', 'Function')]
  assert docstring_worker.read_sentences(str(file)) == expected


@pytest.mark.parametrize('content', [b'print 1', b'\0', b'# coding: nonsense\n', b''])
def test_a_file_that_is_not_python_3_has_no_sentences(content: bytes, tmp_path: pathlib.Path):
  (tmp_path / 'a.py').write_bytes(content)
  assert docstring_worker.read_sentences(str(tmp_path / 'a.py')) == []


def test_a_failing_worker_is_one_line(tmp_path: pathlib.Path):
  with pytest.raises(errors.DataError, match=r'reading docstrings failed .*absent.py'):
    list(docstrings._extract([str(tmp_path / 'absent.py')]))
