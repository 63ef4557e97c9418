"""What the pages on extending the suite write in full runs, and says of each argument what it is for."""

import pathlib
import re
import sys
import types

import pytest

from tools import spec_flags

_PAGES = pathlib.Path(__file__).parents[1] / 'docs' / 'extending'


@pytest.mark.parametrize(
  ('page', 'name', 'num_arguments'),
  [
    ('algorithm', 'local_momentum', 6),
    ('codec', 'MaxScaled', 0),
    ('data_set', 'tab_separated', 3),
    ('model', 'running_mean', 3),
    ('policy', 'Body', 0),
  ],
)
def test_the_code_of_a_page_runs_and_explains_its_arguments(page, name, num_arguments, monkeypatch):
  text = (_PAGES / f'{page}.md').read_text(encoding='utf-8')
  (code, *_) = re.findall(r'```python\n(""".*?)```', text, re.DOTALL)  # The first module; others are fragments.
  module = types.ModuleType(f'{page}_of_the_page')
  monkeypatch.setitem(sys.modules, module.__name__, module)
  exec(compile(code, f'{page}.md', 'exec'), module.__dict__)
  entry = spec_flags.Catalogue('', {name: getattr(module, name)}, 'codecs').entries()[name]
  assert entry.summary
  assert len(entry.arguments) == num_arguments
  for argument in entry.arguments:
    assert argument.meaning and not argument.meaning.startswith(('See ', 'Of ')), argument.name
