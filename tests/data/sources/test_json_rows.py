"""A user's own labelled texts in JSON lines: what may be a label or a user, and which line does not fit."""

import json
import pathlib

import pytest

from data import errors
from data import source
from data.sources import json_rows


def _jsonl(folder: pathlib.Path, *lines: dict) -> str:
  (folder / 'own.jsonl').write_text('\n'.join(map(json.dumps, lines)) + '\n')
  return str(folder / 'own.jsonl')


def test_json_lines_have_labels_of_any_plain_kind(tmp_path: pathlib.Path):
  lines = [
    {'body': f'text {number}', 'class': label, 'by': by}
    for number in range(2)
    for label, by in ((True, 'anna'), (False, 7), (10, '7'), (9.0, 'ben'), ('9', 'anna'), ('x', 'anna'))
  ]
  path = _jsonl(tmp_path, *lines)
  found = json_rows.json_rows(path=path, text='body', label='class')
  assert (found.name, found.class_names, found.clients) == (
    'jsonl',
    ('10', '9', 'false', 'true', 'x'),
    source.Clients.NONE,
  )
  plain = [{'text': f'text {number}', 'label': [10, 9][number % 2]} for number in range(4)]
  assert json_rows.json_rows(path=_jsonl(tmp_path, *plain)).class_names == ('9', '10')
  by_user = [line for line in lines if line['class'] in (True, False)] + [
    {'body': f'{by} {label}', 'class': label, 'by': by} for by in ('anna', 7, 'ben') for label in (True, False)
  ]
  found = json_rows.json_rows(path=_jsonl(tmp_path, *by_user), text='body', label='class', user='by')
  assert found.clients is source.Clients.USERS and {example.client for _, example in found.read()} == {
    'anna',
    '7',
    'ben',
  }


@pytest.mark.parametrize(
  ('line', 'arguments', 'said'),
  [
    ('{"text": "b", "label"', {}, "own.jsonl' line 2 is not JSON"),
    ('["b", 1]', {}, 'line 2 is not a JSON object: write {"text": "...", "label": "..."}'),
    ('{"text": "b", "stars": 1}', {}, "line 2 has no field 'label', but 'text', 'stars': write"),
    ('{"text": "b", "label": 1}', {'user': 'by'}, "line 2 has no field 'by', but 'text', 'label': write"),
    ('{"text": 5, "label": 1}', {}, 'line 2 has the text 5, which is not text in quotes'),
    (
      '{"text": "b", "label": null}',
      {},
      'line 2 has the label null, which is neither text nor a whole number, true or',
    ),
    ('{"text": "b", "label": 1.5}', {}, 'line 2 has the label 1.5, which is neither'),
    ('{"text": "b", "label": [1]}', {}, 'line 2 has the label [1], which is neither'),
    ('{"text": "b", "label": NaN}', {}, 'line 2 has the label NaN, which is neither'),
    ('{"text": "b", "label": " "}', {}, 'line 2 has no label: give it one, or remove it'),
    ('{"text": "b", "label": 1, "by": true}', {'user': 'by'}, 'line 2 has the user true, which is neither text nor'),
    ('{"text": "b", "label": 1, "by": ""}', {'user': 'by'}, 'line 2 has no user: name one'),
    (b'{"text": "caf\xe9", "label": 1}', {}, 'line 2 is not UTF-8'),
    ('{"text": "b", "label": 1, "label": 2}', {}, "line 2 has the field 'label' twice: keep one"),
    ('{"text": "b", "label": "\\ud800"}', {}, "line 2 has the label '\\ud800', which is half of a character: write"),
    ('{"text": "b", "label": ' + '[' * 99999 + ']' * 99999 + '}', {}, 'line 2 is not JSON (maximum recursion'),
    ('{"text": "b", "label": ' + '9' * 5000 + '}', {}, 'line 2 is not JSON (Exceeds the limit'),
  ],
)
def test_a_json_line_that_does_not_fit_is_named(line: str | bytes, arguments: dict, said: str, tmp_path: pathlib.Path):
  first = b'{"text": "a", "label": 0, "by": "x"}\n'
  (tmp_path / 'own.jsonl').write_bytes(first + (line if isinstance(line, bytes) else line.encode()) + b'\n')
  with pytest.raises(errors.DataError) as raised:
    json_rows.json_rows(path=str(tmp_path / 'own.jsonl'), **arguments)
  assert said in str(raised.value) and len(str(raised.value).splitlines()) == 1


def test_a_field_of_a_field_may_be_there_twice(tmp_path: pathlib.Path):
  lines = [f'{{"text": "{n}", "label": {n % 2}, "from": {{"a": 1, "a": 2}}}}' for n in range(4)]
  (tmp_path / 'own.jsonl').write_text('\n'.join(lines))
  assert json_rows.json_rows(path=str(tmp_path / 'own.jsonl')).class_names == ('0', '1')
