"""Help at the prompt: every flag that takes specs answers, at once, in lines that fit, and exactly those do."""

import os
import pathlib
import resource
import subprocess
import sys

import pytest

from experiments.command import spec
from experiments.command import spec_help
from tools import spec_flags

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_EVERY_FLAG = [(binary, flag) for binary, catalogues_of in spec_flags.FLAGS.items() for flag in catalogues_of]


def _run(binary: str, *arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
  command = [sys.executable, *python, '-m', f'experiments.{binary}', *arguments]
  return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False, env=os.environ)


@pytest.mark.parametrize(('binary', 'flag'), _EVERY_FLAG)
def test_every_name_of_every_flag_is_explained_in_80_columns(binary, flag):
  listed = spec_help.answer(binary, flag)
  names = [name for key in spec_flags.FLAGS[binary][flag] for name in spec_flags.CATALOGUES[key].builders]
  assert [line.split()[0] for line in listed.splitlines() if line.startswith('  ') and line[2] != ' '] == names
  told = {name: spec_help.answer(binary, flag, name) for name in names}
  for text in (listed, *told.values()):
    assert max(map(len, text.splitlines())) < 80
  for name, text in told.items():
    assert text.startswith(name)


@pytest.mark.parametrize(
  ('key', 'name', 'argument'),
  [
    (key, name, argument)
    for key, catalogue in spec_flags.CATALOGUES.items()
    for name, entry in catalogue.entries().items()
    for argument in entry.arguments
  ],
  ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_every_argument_says_what_it_is_for_and_what_none_means(key, name, argument):
  assert argument.meaning and not argument.meaning.startswith('See ')
  if argument.default == 'None':
    said = argument.meaning.lower()
    assert any(word in said for word in ('none ', 'by default', 'if neither', 'in place of'))


@pytest.mark.parametrize(
  ('binary', 'arguments', 'expected'),
  [
    ('language_model', ['--algorithm=help'], 'fed_yogi'),
    ('language_model', ['--rounds=3', '--upload', 'help(uniform)'], 'Bits per value, 1 to 16'),
    ('pretrain', ["-corpus=help('text')"], 'must be given'),
    ('constrained_finetuning', ['--model=help( vit )'], 'vits_32'),
    ('client_cost', ['--policies=help'], 'layerwise'),
  ],
)
def test_answers_at_once_and_imports_nothing(binary, arguments, expected):
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  process = _run(binary, *arguments, python=('-X', 'importtime'))
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  assert process.returncode == 0 and expected in process.stdout
  imported = {line.rpartition('|')[2].strip().partition('.')[0] for line in process.stderr.splitlines()}
  assert 'json' in imported and not imported & {'absl', 'numpy', 'tensorflow', 'tensorflow_federated'}
  assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5  # Seconds, however busy the machine.


def test_an_unknown_name_answers_with_near_ones():
  process = _run('language_model', '--algorithm=help(fed_adm)')
  assert (process.returncode, process.stdout) == (2, '')
  assert process.stderr.startswith("error: --algorithm takes no 'fed_adm' (did you mean fed_adam")
  assert len(process.stderr.splitlines()) == 1


def test_the_arguments_of_an_algorithm_are_those_that_it_takes():
  text = spec_help.answer('language_model', 'algorithm', 'fed_adam')
  for expected in ('client_lr: float, default 3.0', 'server_lr: float, default 0.015', 'beta_1: float, default 0.9'):
    assert expected in text
  assert 'epsilon=0.001' in ' '.join(text.splitlines()[:3]) and 'SGD at the clients and Adam at the server' in text


def test_other_flags_and_other_values_are_left_to_the_binary(monkeypatch):
  monkeypatch.setattr(sys, 'orig_argv', ['python', '-m', 'experiments.language_model', 'x'])
  for argument in ('--output_dir=help', '--algorithm=helpful', 'help', '--dataset=help()x', '--stages=help'):
    monkeypatch.setattr(sys, 'argv', ['-m', argument])
    spec_help.answer_at_once()
  monkeypatch.setattr(sys, 'argv', ['-m'])
  spec_help.answer_at_once()
  monkeypatch.setattr(sys, 'argv', ['-m', '--algorithm=help'])
  with pytest.raises(SystemExit):
    spec_help.answer_at_once()
  monkeypatch.setattr(sys, 'argv', ['pytest', '--algorithm=help'])
  spec_help.answer_at_once()


def test_who_reads_no_more_ends_it_quietly():
  command = f'{sys.executable} -m experiments.language_model --upload=help | true; echo ${{PIPESTATUS[0]}}'
  process = subprocess.run(['bash', '-c', command], cwd=_ROOT, capture_output=True, text=True, check=False)
  assert process.stdout.strip() in ('0', '141') and not process.stderr


def test_an_unknown_name_of_a_spec_points_to_the_help():
  with pytest.raises(spec.SpecError, match=r'choose one of a \(--algorithm=help at the prompt says what they are\)'):
    spec.build('b', {'a': dict}, 'algorithm')
  with pytest.raises(spec.SpecError, match=r'choose one of a$'):
    spec.build('b', {'a': dict}, 'codec of small variables')
