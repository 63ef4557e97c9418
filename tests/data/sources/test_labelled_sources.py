"""Classification data sets are read as published, and a broken row is named by file and line."""

from collections.abc import Callable
import csv
import io
import pathlib
import tempfile

from hypothesis import given
from hypothesis import strategies as st
import pytest

from data import catalog
from data import errors
from data import source
from data.sources import agnews
from data.sources import imdb
from data.sources import labelled_csv
from data.sources import spooky
from data.sources import yelp


def _write(folder: pathlib.Path, **contents: str | bytes) -> str:
  for name, content in contents.items():
    (folder / f'{name}.csv').write_bytes(content if isinstance(content, bytes) else content.encode())
  return str(folder)


def _read(dataset: source.LabelledSource) -> list[tuple[str, str, str]]:
  return [(split, example.text, example.label) for split, example in dataset.read()]


def test_agnews_takes_the_description(tmp_path: pathlib.Path):
  train = '"3","Title, one","Oil ""soars"" and\\next week again"\n\n"1","Two","Peace"\n'
  found = agnews.agnews(path=_write(tmp_path, train=train, test='"4","Three","Chips"\n'))
  assert _read(found) == [
    ('train', 'Oil "soars" and next week again', 'Business'), ('train', 'Peace', 'World'), ('heldout', 'Chips', 'Sci/Tech'),
  ]  # fmt: skip
  assert found.class_names == ('World', 'Sports', 'Business', 'Sci/Tech')


def test_yelp_has_five_stars(tmp_path: pathlib.Path):
  found = yelp.yelp(
    path=_write(tmp_path, train='"5","Good.\\n\\nYes, \\""really\\""."\n"1","Bad, bad"\n', test='"2","Meh"\n')
  )
  assert _read(found) == [
    ('train', 'Good.  Yes, "really".', '5 stars'), ('train', 'Bad, bad', '1 star'), ('heldout', 'Meh', '2 stars'),
  ]  # fmt: skip
  assert len(found.class_names) == 5


def test_spooky_holds_out_a_quarter_whatever_else_is_in_the_file(tmp_path: pathlib.Path):
  rows = [f'"id{number}","Text {number}","{("EAP", "HPL", "MWS")[number % 3]}"\n' for number in range(400)]
  whole = _read(spooky.spooky(path=_write(tmp_path, train='"id","text","author"\n' + ''.join(rows))))
  part = _read(
    spooky.spooky(path=_write(tmp_path, train='"id","text","author"\n' + ''.join(rows[300:])) + '/train.csv')
  )
  assert len(whole) == 400 and whole[1][1:] == ('Text 1', 'HPL')
  assert 75 < sum(split == 'heldout' for split, *_ in whole) < 125  # 100, four standard deviations of 8.7 either way
  assert part == whole[300:]
  headless = _read(spooky.spooky(path=_write(tmp_path, train=''.join(rows))))
  assert headless == whole


def test_imdb_is_a_folder_of_reviews(tmp_path: pathlib.Path):
  for part in ('train', 'test'):
    for label in ('pos', 'neg'):
      (tmp_path / 'aclImdb' / part / label).mkdir(parents=True)
      (tmp_path / 'aclImdb' / part / label / '0_9.txt').write_text(f'{part} {label}')
  (tmp_path / 'aclImdb/train/pos/1_9.txt').write_text('caf\u00e9', encoding='utf-8')
  (tmp_path / 'aclImdb/train/pos/._1_9.txt').write_bytes(b'\0\5\x16\7')  # as archives of a Mac hold
  found = imdb.imdb(path=str(tmp_path / 'aclImdb'), max_examples=3)
  assert _read(found) == _read(imdb.imdb(path=str(tmp_path)))
  assert _read(found) == [
    ('train', 'train neg', 'neg'), ('train', 'train pos', 'pos'), ('train', 'caf\u00e9', 'pos'),
    ('heldout', 'test neg', 'neg'), ('heldout', 'test pos', 'pos'),
  ]  # fmt: skip
  assert (found.class_names, found.max_examples) == (('neg', 'pos'), 3)
  (tmp_path / 'aclImdb/test/neg/0_9.txt').write_bytes(b'\xff')
  with pytest.raises(errors.DataError, match=r'test/neg/0_9.txt.* is not UTF-8'):
    _read(found)
  (tmp_path / 'aclImdb/test/neg/0_9.txt').unlink()
  with pytest.raises(errors.DataError, match=r'test/neg.* holds no .txt file: give imdb the unpacked'):
    imdb.imdb(path=str(tmp_path))


@pytest.mark.parametrize(
  ('content', 'said'),
  [
    ('"1","a","b"\n"2","c"\n', r"train.csv' line 2 has 2 fields instead of 3: mend or remove"),
    ('"1","a","two\nlines"\n"0","c","d"\n', r"train.csv' line 3 has class '0', not one of 1, 2, 3, 4"),
    ('Class,Title,Description\n', r"line 1 has class 'Class', not one of"),
    ('"1","a","b"\n"2","c","d\n"3","e","f"', r'line 2 is broken CSV'),  # the quote is not closed
    ('"1","a","b" c\n', r'line 1 is broken CSV'),
    (b'"1","a","b"\n"2","\n\xff","d"\n', r"train.csv' line 3 is not UTF-8"),
  ],
)
def test_a_broken_row_is_named_by_file_and_line(content: str | bytes, said: str, tmp_path: pathlib.Path):
  found = agnews.agnews(path=_write(tmp_path, train=content, test='"1","a","b"\n'))
  with pytest.raises(errors.DataError, match=said):
    _read(found)


@given(
  st.lists(
    st.tuples(st.sampled_from('12345'), st.text(st.characters(exclude_categories=['Cs'], exclude_characters='\\'))),
    max_size=6,
  )
)
def test_reads_what_a_csv_writer_wrote(rows: list[tuple[str, str]]):
  with tempfile.TemporaryDirectory() as folder:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator='\n').writerows(rows)
    path = _write(pathlib.Path(folder), train=written.getvalue(), test='')
    found = _read(yelp.yelp(path=path))
  assert [(label[0], text.lstrip('\ufeff')) for _, text, label in found] == [
    (label, text.lstrip('\ufeff')) for label, text in rows
  ]


@given(st.binary(max_size=60))
def test_any_bytes_are_rows_or_one_clear_line(content: bytes):
  with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / 'x.csv'
    file.write_bytes(content)
    try:
      for row in labelled_csv.read(file, ('class', 'text'), {'1': 'one'}):
        assert row['class'] == 'one'
    except errors.DataError as error:
      assert len(str(error).splitlines()) == 1 and 'line ' in str(error)


def test_a_field_may_be_longer_than_a_hundred_thousand_characters(tmp_path: pathlib.Path):
  long = 'word ' * 40_000  # 200,000 characters
  found = agnews.agnews(path=_write(tmp_path, train=f'"1","a","{long}"\n', test='"2","b","c"\n'))
  assert _read(found) == [('train', long, 'World'), ('heldout', 'c', 'Sports')]
  broken = agnews.agnews(path=_write(tmp_path, train=f'"1","a","b"\n"2","a","{long}\n'))
  with pytest.raises(errors.DataError, match=r'line 2 is broken CSV .unexpected end of data.'):
    _read(broken)


def test_a_missing_file_is_named(tmp_path: pathlib.Path):
  (tmp_path / 'train.csv').touch()
  for build in (agnews.agnews, yelp.yelp):
    with pytest.raises(
      errors.DataError, match=r'test.csv.*; give (agnews|yelp) the folder with train.csv and test.csv'
    ):
      build(path=str(tmp_path))
  (tmp_path / 'train.csv').unlink()
  with pytest.raises(errors.DataError, match=r'no such file or folder: .*train.csv'):
    spooky.spooky(path=str(tmp_path))


@pytest.mark.parametrize('build', [agnews.agnews, yelp.yelp, spooky.spooky, imdb.imdb])
def test_a_path_is_needed(build: Callable[..., source.LabelledSource]):
  with pytest.raises(errors.DataError, match='needs a path'):
    build()


@pytest.mark.parametrize('arguments', [{'max_examples': 0}, {'sequence_length': 2}, {'classes': 1}, {'classes': 10}])
def test_arguments_out_of_range_are_refused(arguments: dict[str, int]):
  with pytest.raises(errors.DataError, match=next(iter(arguments))):
    catalog.CLASSIFICATION_DATASETS['docstring_packages'](**arguments)
