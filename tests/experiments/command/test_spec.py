"""The spec language: what it accepts, and that every refusal is one line that helps."""

import contextlib
import keyword

import hypothesis
from hypothesis import strategies
import pytest

from experiments.command import spec


def _uniform(bits=8, centred=False):
  if bits > 16:
    raise ValueError('bits must be at most 16')
  return 'uniform', bits, centred


def _topk(fraction):
  return 'topk', fraction


_CATALOGUE = {'identity': lambda: 'identity', 'uniform': _uniform, 'topk': _topk}


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('identity', ['identity']),
    ('identity()', ['identity']),
    ('uniform(bits=4)', [('uniform', 4, False)]),
    (' topk(fraction=1e-2) | uniform(centred=True) ', [('topk', 0.01), ('uniform', 8, True)]),
    ('topk(fraction=[1, -2.5])', [('topk', [1, -2.5])]),
  ],
)
def test_builds(text, expected):
  assert spec.build_chain(text, _CATALOGUE, 'codec') == expected


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('unifrom', "unknown codec 'unifrom' (did you mean 'uniform'?); choose one of identity, uniform, topk"),
    ('uniform(bit=4)', "codec uniform has no argument 'bit' (did you mean 'bits'?); it takes bits, centred"),
    ('identity(bits=4)', "codec identity has no argument 'bits'; it takes no arguments"),
    ('uniform(bits=17)', 'codec uniform: bits must be at most 16'),
    ('topk', 'codec topk needs fraction=...: topk(fraction=...)'),
    ('uniform(4)', 'by name only'),
    ('uniform(**x)', 'by name only'),
    ('uniform(bits=1, bits=2)', 'names an argument twice'),
    ('uniform(bits=open("x"))', 'is not a plain value'),
    ('uniform(bits=1+1)', 'is not a plain value'),
    ('uniform(bits=', 'cannot read'),
    ('', 'cannot read'),
    ('3', 'is neither a name nor a call'),
    ('a.b()', 'is neither a name nor a call'),
    ('uniform or topk', 'is neither a name nor a call'),
    ('|'.join(['identity'] * 1500), "a chain has 100 links at most, not 1500: shorten 'identity|"),
    ('|'.join(['identity'] * 100_000), 'cannot read'),
    ('+'.join(['identity'] * 1500), 'is neither a name nor a call'),
    (f'uniform(bits={"-" * 1500}1)', 'is not a plain value'),
  ],
)
def test_refuses(text, message):
  with pytest.raises(spec.SpecError) as raised:
    spec.build_chain(text, _CATALOGUE, 'codec')
  assert message in str(raised.value)
  assert '\n' not in str(raised.value)
  assert len(str(raised.value)) < 3000


def test_a_long_chain_keeps_its_order():
  calls = spec.parse('|'.join(f'link_{number}' for number in range(100)))
  assert [call.name for call in calls] == [f'link_{number}' for number in range(100)]


def test_what_others_take_is_said_to_be_theirs():
  elsewhere = {'gzip': 'is for files', 'topk': 'is never said'}
  with pytest.raises(spec.SpecError, match="codec 'gzip' is for files; choose one of identity, uniform, topk"):
    spec.build('gzip(level=9)', _CATALOGUE, 'codec', elsewhere)
  assert spec.build('topk(fraction=1)', _CATALOGUE, 'codec', elsewhere) == ('topk', 1)
  with pytest.raises(spec.SpecError, match="unknown codec 'gzi'"):
    spec.build('gzi', _CATALOGUE, 'codec', elsewhere)


def test_a_builder_may_take_any_arguments():
  catalogue = {'several': lambda *rest, bits=8: (rest, bits), 'any': lambda **given: given}
  assert spec.build('several', catalogue, 'codec') == ((), 8)
  with pytest.raises(spec.SpecError, match="codec several has no argument 'rest'; it takes bits"):
    spec.build('several(rest=3)', catalogue, 'codec')
  assert spec.build('any(bits=3)', catalogue, 'codec') == {'bits': 3}


def test_a_chain_is_refused_where_one_is_wanted():
  with pytest.raises(spec.SpecError, match='does not apply here'):
    spec.build('identity|uniform', _CATALOGUE, 'model')


@hypothesis.given(strategies.text(max_size=40))
def test_any_text_is_built_or_refused(text):
  with contextlib.suppress(spec.SpecError):
    spec.build_chain(text, _CATALOGUE, 'codec')


@hypothesis.given(
  strategies.dictionaries(
    strategies.from_regex(r'[a-z][a-z_0-9]{0,8}', fullmatch=True).filter(lambda name: not keyword.iskeyword(name)),
    strategies.recursive(
      strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(),
      lambda inner: strategies.lists(inner, max_size=3),
    ),
    max_size=4,
  )
)
def test_literals_survive(arguments):
  text = 'codec(' + ', '.join(f'{name}={value!r}' for name, value in arguments.items()) + ')'
  assert spec.parse(text) == [spec.Call('codec', arguments)]
