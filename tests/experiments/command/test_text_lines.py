"""Lines come as they are in the file, whatever ends them, and a file is written whole, once, or not at all."""

import io
import sys

import pytest

from experiments.command import failures
from experiments.command import text_lines


@pytest.mark.parametrize(
  ('content', 'lines'),
  [
    (b'', []),
    (b'\n', ['']),
    (b'a\n\nb', ['a', '', 'b']),
    (b'a\r\n b \r\n', ['a', ' b ']),
    (
      b'\xef\xbb\xbfa\x0bb\n\xe2\x80\xa8\n',
      ['a\x0bb', '\u2028'],
    ),  # A byte order mark; ends of lines of other kinds are none.
  ],
)
def test_lines_are_those_of_the_file(content, lines, tmp_path, monkeypatch):
  (tmp_path / 'in').write_bytes(content)
  with text_lines.reading(str(tmp_path / 'in')) as read:
    assert list(read) == lines
  monkeypatch.setattr(sys, 'stdin', io.TextIOWrapper(io.BytesIO(content), encoding='ascii'))
  with text_lines.reading(None) as read:
    assert list(read) == lines


def test_what_cannot_be_read_is_refused(tmp_path):
  for path, reason in ((tmp_path / 'none', 'No such file or directory'), (tmp_path, 'Is a directory')):
    with (
      pytest.raises(failures.UsageError, match=f'cannot read --input={path}: {reason}; name a file with a text a line'),
      text_lines.reading(str(path)),
    ):
      pass
  with (
    pytest.raises(failures.UsageError, match=r'cannot read --input=.*: embedded null byte'),
    text_lines.reading('a\0'),
  ):
    pass
  (tmp_path / 'in').write_bytes(b'a\n\xe4\n')
  with text_lines.reading(str(tmp_path / 'in')) as read:
    assert next(read) == 'a'
    with pytest.raises(failures.UsageError, match=r'line 2 of --input=.*in is not UTF-8: convert it'):
      next(read)


def test_a_file_is_there_whole_or_not_at_all(tmp_path, capsys):
  with text_lines.writing(str(tmp_path / 'out')) as write:
    write('a')
    write('b')
    assert not (tmp_path / 'out').exists()
  assert (tmp_path / 'out').read_text() == 'a\nb\n'
  with pytest.raises(RuntimeError, match='half'), text_lines.writing(str(tmp_path / 'half')) as write:
    write('a')
    raise RuntimeError('half of it is written')
  assert [path.name for path in tmp_path.iterdir()] == ['out']
  with text_lines.writing(None) as write:
    write('c')
  assert capsys.readouterr().out == 'c\n'


def test_no_file_is_overwritten(tmp_path):
  existing, link = tmp_path / 'out', tmp_path / 'link'
  existing.write_text('precious')
  link.symlink_to(tmp_path / 'nowhere')
  for path in (existing, link, tmp_path):
    with pytest.raises(failures.UsageError, match='is there already: name a new file'), text_lines.writing(str(path)):
      pass
  # Nor one that comes while the lines are written.
  with (
    pytest.raises(failures.UsageError, match='is there already'),
    text_lines.writing(str(tmp_path / 'late')) as write,
  ):
    write('a')
    (tmp_path / 'late').write_text('precious')
  assert existing.read_text() == (tmp_path / 'late').read_text() == 'precious'
  assert {path.name for path in tmp_path.iterdir()} == {'out', 'link', 'late'}


@pytest.mark.parametrize(
  ('name', 'reason'),
  [
    ('none/out', 'No such file or directory'),
    ('file/out', 'Not a directory'),
    ('x' * 255, 'File name too long'),
    ('a\0b', 'embedded null byte'),
  ],
)
def test_a_file_that_cannot_be_written_is_refused(name, reason, tmp_path):
  (tmp_path / 'file').write_text('precious')
  with (
    pytest.raises(failures.UsageError, match=rf'cannot write --output=.*: {reason}; name a new file in a folder'),
    text_lines.writing(str(tmp_path / name)),
  ):
    pass
  assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_two_that_write_one_file_do_not_meet(tmp_path):
  with text_lines.writing(str(tmp_path / 'out')) as write:
    write('a')
    with (
      pytest.raises(failures.UsageError, match=r'--output=.*out is being written by another program: name another'),
      text_lines.writing(str(tmp_path / 'out')),
    ):
      pass
    write('b')
  assert (tmp_path / 'out').read_text() == 'a\nb\n'
  (tmp_path / 'new.part').write_text('what a kill left, and is longer')
  with text_lines.writing(str(tmp_path / 'new')) as write:
    write('c')
  assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {'out': 'a\nb\n', 'new': 'c\n'}


def test_a_full_disk_is_one_line(tmp_path):
  (tmp_path / 'out.part').symlink_to('/dev/full')  # Where the lines go until all of them are there.
  with (
    pytest.raises(failures.UsageError, match=r'cannot write --output=.*: No space left on device'),
    text_lines.writing(str(tmp_path / 'out')) as write,
  ):
    for _ in range(10_000):
      write('a line that fills the buffer')
  assert not (tmp_path / 'out').exists()
