"""The README stays one page, and its script is the example that the tests run."""

import ast
import pathlib
import re

import pytest

_ROOT = pathlib.Path(__file__).parents[1]
_README = (_ROOT / 'README.md').read_text(encoding='utf-8')


def test_it_is_a_page_that_a_terminal_shows():
  lines = _README.splitlines()
  assert len(lines) <= 120
  assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize('page', ['README.md', 'docs/guides/scripts.md'])
def test_its_script_is_that_of_the_examples(page: str):
  (script,) = re.findall(r'```python\n(.*?)```', (_ROOT / page).read_text(encoding='utf-8'), re.DOTALL)
  example = ast.parse((_ROOT / 'examples' / 'own_script.py').read_text(encoding='utf-8'))
  (train,) = [node for node in example.body if isinstance(node, ast.FunctionDef)]
  *lines, last = train.body[1:]  # Without its docstring.
  expected = '\n'.join([*map(ast.unparse, lines), f'print({ast.unparse(last.value)})'])
  for name, value in {
    'config.seed': '0',
    'source': "catalog.DATASETS['docstrings']()",
    'config': "run.Config(pathlib.Path('runs/mine'), rounds=20)",
  }.items():
    expected = re.sub(rf'(?<![.\w]){re.escape(name)}\b', value, expected)
  assert ast.unparse(ast.parse(script)) == expected
