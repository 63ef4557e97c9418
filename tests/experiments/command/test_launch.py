"""How a binary starts and ends whatever its surroundings: closed streams, other locales, Ctrl-C."""

import os
import pathlib
import subprocess
import sys

from absl import flags
import pytest

from experiments.command import command_line
from experiments.command import failures
from experiments.command import launch
from tests import binaries
from tests import language_model_runs as runs

_ROOT = pathlib.Path(__file__).parents[3]


def _shell(command: list[str], redirection: str, **options) -> subprocess.CompletedProcess[str]:
  """Runs a command with streams that a shell has closed."""
  line = ['sh', '-c', f'exec "$@" {redirection}', 'sh', *command]
  return subprocess.run(line, cwd=_ROOT, capture_output=True, text=True, check=False, **options)


def test_closed_streams_do_not_end_a_run(text, environment, tmp_path):
  process = _shell(runs.command(text, tmp_path / 'run', rounds=1), '<&- >&-', env=environment)
  assert process.returncode == 0, process.stderr
  assert (tmp_path / 'run' / 'perplexity.png').exists()
  assert 'round 1/1' in process.stderr and process.stdout == ''


@pytest.mark.parametrize('redirection', ['', '<&-', '>&-', '2>&-', '<&- 2>&-', '<&- >&- 2>&-'])
def test_no_file_gets_the_descriptor_of_a_closed_stream(redirection, tmp_path):
  script = f"""
import experiments, os, pathlib, sys
opened = open(os.devnull)
streams = (sys.stdin, sys.stdout, sys.stderr)
found = [opened.fileno() > 2, [stream.fileno() for stream in streams], [os.get_inheritable(n) for n in range(3)]]
print('err \\u4f60', file=sys.stderr)
pathlib.Path({str(tmp_path / 'found')!r}).write_text(repr(found))
"""
  process = _shell([sys.executable, '-c', script], redirection, env=os.environ | {'PYTHONUTF8': '0', 'LC_ALL': 'C'})
  assert process.returncode == 0, process.stderr
  assert (tmp_path / 'found').read_text() == repr([True, [0, 1, 2], [True] * 3])


def test_a_binary_that_refuses_says_nothing_on_a_closed_stream():
  process = _shell([sys.executable, '-m', 'experiments.compare'], '2>&-')
  assert (process.returncode, process.stdout, process.stderr) == (2, '', '')


@pytest.mark.parametrize(('binary', 'num_flags'), [('compare', 2), ('generate', 2), ('sweep', 2)])
def test_help_says_once_that_a_flag_is_repeatable(binary, num_flags):
  said = binaries.run(f'experiments.{binary}', ['--help']).stdout.lower()
  assert said.count('repeatable') == num_flags and 'repeat this option' not in said  # --plugin, and one of its own.


def test_help_ends_in_silence_when_nobody_reads_on():
  process = _shell([sys.executable, '-m', 'experiments.compare', '--help'], '| :')
  assert (process.returncode, process.stdout, process.stderr) == (0, '', '')


_PRINTS = 'from experiments.command import failures, launch; launch.guarded({main}, ["test"])'
_FULL = 'error: standard output cannot be written: No space left on device\n'
_RAISES = '[print("a"), (_ for _ in ()).throw(failures.RunEnded("the end"))]'


@pytest.mark.parametrize(
  ('main', 'unbuffered', 'expected'),
  [
    ('lambda: print("a")', '', _FULL),
    ('lambda: print("a")', '1', _FULL),
    ('lambda: print("a" * 100_000)', '', _FULL),
    (f'lambda: {_RAISES}', '', 'error: the end\n'),
  ],
)
def test_an_output_that_cannot_be_written_is_told_in_one_line(main, unbuffered, expected):
  environment = os.environ | {'PYTHONUNBUFFERED': unbuffered}
  process = _shell([sys.executable, '-c', _PRINTS.format(main=main)], '>/dev/full', env=environment)
  assert (process.returncode, process.stderr) == (1, expected)


def test_another_error_of_the_system_is_not_laid_on_the_output():
  process = _shell([sys.executable, '-c', _PRINTS.format(main='lambda: open("/no/such/file")')], '')
  assert process.returncode == 1 and process.stderr.splitlines()[-1].startswith('FileNotFoundError')


def test_what_the_terminal_cannot_show_is_escaped():
  script = (
    'from experiments.command import flag_table, launch; '
    'launch.launch(lambda given: print("1 \\u00b1 2"), flag_table.FlagTable("b"))'
  )
  environment = os.environ | {'PYTHONUTF8': '0', 'PYTHONIOENCODING': 'ascii'}
  process = _shell([sys.executable, '-c', script], '', env=environment)
  assert (process.returncode, process.stdout) == (0, '1 \\xb1 2\n'), process.stderr


_LOCALES = [{}, {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'}]


@pytest.mark.parametrize('locale', _LOCALES)
@pytest.mark.parametrize('mark', [b'', b'\xef\xbb\xbf'])
def test_flag_files_are_utf_8_in_any_locale(mark, locale, tmp_path):
  (tmp_path / 'a.flags').write_bytes(mark + '--runs=m\u00f6del\r\n# \u4f60\n'.encode())
  command = [sys.executable, '-m', 'experiments.compare', f'--flagfile={tmp_path}/a.flags', '--output_dir=x']
  process = _shell(command, '', env=os.environ | locale)
  assert process.returncode == 2, process.stderr
  assert process.stderr.startswith(
    ('error: --runs=m\u00f6del matches no run', 'error: --runs=m\\xf6del matches no run')
  )


def test_a_flag_file_that_is_no_text_is_refused_in_one_line(tmp_path):
  (tmp_path / 'a.flags').write_bytes(b'--model=m\xf6del\n')
  process = _shell([sys.executable, '-m', 'experiments.compare', f'--flagfile={tmp_path}/a.flags'], '')
  assert process.returncode == 2
  assert process.stderr == f'error: --flagfile={tmp_path}/a.flags is not UTF-8 at byte 9: convert it\n'


def test_flag_files_stand_for_their_lines(tmp_path):
  inner, outer = tmp_path / 'inner', tmp_path / 'outer'
  inner.write_text('# a comment\n\n  --rounds=3  \n//--rounds=4\n')
  outer.write_text(f'--seed=1\n--flagfile={inner}\n--seed=2\n')
  expected = ['--a', '--seed=1', '--rounds=3', '--seed=2', '--b']
  assert command_line.expanded(['--a', f'--flagfile={outer}', '--b']) == expected
  assert command_line.expanded(['--a', '-flagfile', str(outer), '--b', '--flagfile=']) == expected
  assert command_line.expanded(['--', f'--flagfile={outer}']) == ['--', f'--flagfile={outer}']
  # As absl, which reads files by the locale.
  assert flags.FlagValues().read_flags_from_files(['--a', f'--flagfile={outer}', '--b']) == expected


def test_flag_files_that_cannot_be_read_are_refused(tmp_path):
  loop = tmp_path / 'loop'
  loop.write_text(f'--flagfile={loop}\n')
  for arguments, expected in (
    ([f'--flagfile={loop}'], 'names itself: leave it out of'),
    ([f'--flagfile={tmp_path}/none'], 'none cannot be read: No such file'),
    ([f'--flagfile={tmp_path}'], 'cannot be read: Is a directory'),
    (['--flagfile'], 'names no file: write --flagfile=...'),
  ):
    with pytest.raises(flags.Error, match=expected):
      command_line.expanded(arguments)


@pytest.mark.parametrize(
  ('raised', 'exit_code', 'expected'),
  [
    (KeyboardInterrupt(), 130, 'interrupted; the same command does what is left\n'),
    (failures.Stopped(15), 143, 'stopped by SIGTERM; the same command begins again\n'),
    (failures.Stopped(2, 'goes on after round 7'), 130, 'stopped by SIGINT; the same command goes on after round 7\n'),
  ],
)
def test_an_interruption_promises_only_what_there_is(raised, exit_code, expected, capsys, monkeypatch):
  def main():
    raise raised

  def leave(code):
    raise SystemExit(code)

  monkeypatch.setattr(os, '_exit', leave)
  with pytest.raises(SystemExit) as left:
    launch.guarded(main, ['test'])
  assert left.value.code == exit_code
  assert capsys.readouterr().err == expected


def test_a_plugin_may_build_by_keras_where_the_binary_imports_no_tensorflow(tmp_path):
  script = (
    'import sys\n'
    'from experiments.command import flag_table, launch\n'
    'assert "tensorflow" not in sys.modules\n'
    'def main(given):\n'
    '  from models import catalog\n'
    '  print(catalog.LANGUAGE_MODELS["gru"](width=2)(3).num_parameters)\n'
    'launch.launch(main, flag_table.FlagTable("b"))\n'
  )
  plugin = f'--plugin={pathlib.Path("examples", "own_plugin.py").absolute()}'
  process = _shell([sys.executable, '-c', script, plugin], '')
  # 3 x 2 of the embedding; (2 + 2) x 6 of the kernels, 2 x 6 of the biases; 2 x 3 + 3 of the head.
  assert (process.returncode, process.stdout) == (0, '51\n'), process.stderr
