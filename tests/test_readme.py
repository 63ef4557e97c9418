"""The README stays one page, and its script is the example that the tests run."""

import ast
import inspect
import pathlib
import re

import pytest

from experiments import suite

_ROOT = pathlib.Path(__file__).parents[1]
_README = (_ROOT / 'README.md').read_text(encoding='utf-8')


def test_it_is_a_page_that_a_terminal_shows():
  lines = _README.splitlines()
  assert len(lines) <= 120
  assert [line for line in lines if len(line) > 120] == []


def _scripts(page: str) -> list[str]:
  return re.findall(r'```python\n(.*?)```', (_ROOT / page).read_text(encoding='utf-8'), re.DOTALL)


def test_the_script_of_the_guide_is_that_of_the_examples():
  (script,) = [script for script in _scripts('docs/guides/scripts.md') if 'run.run(' in script]
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


@pytest.mark.parametrize('page', ['README.md', 'docs/guides/scripts.md', 'docs/guides/using_models.md'])
def test_its_calls_of_the_suite_give_what_there_is(page: str):
  calls = [node for script in _scripts(page) for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Call)]
  named = [(call.func.attr, call.keywords) for call in calls if ast.unparse(call.func).startswith('suite.')]
  assert len(named) >= 2
  for name, keywords in named:
    assert {each.arg for each in keywords} <= set(inspect.signature(getattr(suite, name)).parameters), name


def test_the_loop_of_the_guide_is_that_of_the_examples():
  (script,) = [script for script in _scripts('docs/guides/scripts.md') if 'process.next' in script]
  example = (_ROOT / 'examples' / 'own_loop.py').read_text(encoding='utf-8')
  for line in script.splitlines():
    assert line.strip() in example
