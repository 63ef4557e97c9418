"""The pages tell the truth: the reference is up to date, links lead somewhere, and commands are such as binaries take."""

import dataclasses
import itertools
import pathlib
import re
import shlex
import subprocess

import pytest

from experiments.command import spec
from experiments.command import spec_help
from experiments.costs import report
from experiments.results import columns
from tools import binary_docs
from tools import builder_docs
from tools import reference
from tools import spec_flags

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_FENCED = re.compile(r'^( *)(```|~~~).*?^\1\2 *$', re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r'`[^`\n]*`')
_LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')
_HEADING = re.compile(r'^#+ (.*)$', re.MULTILINE)
_ELSEWHERE = ('http://', 'https://', 'mailto:')
_COMMAND = re.compile(r'python -m experiments\.(\w+)([^`\n]*)')
_PLACEHOLDER = re.compile(r'\$\w+|\b[A-Z]{2,}\b')  # What the reader or the shell puts in.
_OF_ALL = ('help', 'version', 'flagfile')  # Flags.
_SEPARATORS = {'policies': ';'}  # Of flags that take several specs.

_Binaries = dict[str, binary_docs.Binary]


@pytest.fixture(name='binaries', scope='module')
def _binaries() -> _Binaries:
  return {binary.name: binary for binary in binary_docs.read()}


def _pages() -> list[pathlib.Path]:
  """Returns the Markdown pages that belong to the project."""
  command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard', '*.md']
  listed = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
  if listed.returncode:  # Outside a repository.
    return [path for path in _ROOT.rglob('*.md') if '/.' not in str(path.relative_to(_ROOT.parent))]
  return [_ROOT / name for name in listed.stdout.splitlines() if (_ROOT / name).is_file()]


def _broken_links(page: pathlib.Path) -> list[str]:
  """Returns the relative links of a page that lead to no file, or to no heading of one."""
  text = _INLINE.sub('', _FENCED.sub('', page.read_text(encoding='utf-8')))
  broken = []
  for link in _LINK.findall(text):
    if link.startswith(_ELSEWHERE):
      continue
    path, _, anchor = link.partition('#')
    target = page.parent / path if path else page
    if not target.exists() or (anchor and anchor not in _anchors(target)):
      broken.append(f'{page.name}: {link}')
  return broken


def _anchors(page: pathlib.Path) -> set[str]:
  """Returns the anchors that GitHub makes of headings."""
  headings = _HEADING.findall(_FENCED.sub('', page.read_text(encoding='utf-8')))
  return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def _wrong_commands(text: str, binaries: _Binaries) -> list[str]:
  """Returns what is wrong with the commands `python -m experiments.x --flag=...` of a text."""
  wrong = []
  for name, rest in _COMMAND.findall(re.sub(r'\\\n\s*', ' ', text).replace('\\|', '|')):
    if name not in binaries:
      wrong.append(f'there is no binary {name}')
      continue
    try:
      arguments = _arguments(rest)
    except ValueError as error:
      wrong.append(f'{name}{rest}: {error}')
      continue
    for argument in _joined(arguments, binaries[name]):
      wrong += [f'{name} {argument}: {what}' for what in _wrong_with(argument, binaries[name])]
  return wrong


def _arguments(text: str) -> list[str]:
  """Returns the words of a shell's line up to the end of its first command; raises `ValueError` for an open quotation."""
  words = shlex.shlex(re.sub(r' \d?>.*', '', text), posix=True, punctuation_chars=';&|')
  words.whitespace_split = True
  return list(itertools.takewhile(lambda word: word.strip(';&|'), words))


def _joined(arguments: list[str], binary: binary_docs.Binary) -> list[str]:
  """Returns arguments with `--name=value` for `--name value`; flags that are true or false take none."""
  waiting, joined = {f'--{flag.name}' for flag in binary.flags if flag.kind != 'bool'}, []
  for argument in arguments:
    if joined and joined[-1] in waiting:
      joined[-1] += f'={argument}'
    else:
      joined.append(argument)
  return joined


def _wrong_with(argument: str, binary: binary_docs.Binary) -> list[str]:
  flag, given, value = argument.removeprefix('--').partition('=')
  flags = {each.name: each for each in binary.flags}
  if not argument.startswith('--'):
    return ['this is no flag']
  if value.startswith('experiments/') and not (_ROOT / value).exists():
    return ['there is no such file']
  if flag in _OF_ALL or _PLACEHOLDER.fullmatch(value):
    return []
  if flag not in flags:
    return ['there is no such flag']
  keys = spec_flags.FLAGS.get(binary.name, {}).get(flag)
  if keys:
    return _wrong_spec(_PLACEHOLDER.sub('None', value), binary.name, flag, keys)
  choices = flags[flag].kind.split(', ')
  is_choice = len(choices) < 2 or value in choices
  is_number = flags[flag].kind not in ('int', 'float') or re.fullmatch(r'-?[\d.e-]+', value)
  return [] if is_choice and (is_number or not given) else [f'takes {flags[flag].kind}']


def _wrong_spec(text: str, binary: str, flag: str, keys: tuple[str, ...]) -> list[str]:
  if text.startswith('help'):
    return [] if spec_help.answer(binary, flag, text.removeprefix('help').strip('()') or None) else ['no help']
  entries = {name: entry for key in keys for name, entry in spec_flags.CATALOGUES[key].entries().items()}
  wrong = []
  separator = _SEPARATORS.get(flag)
  try:
    calls = [call for part in (text.split(separator) if separator else [text]) for call in spec.parse(part)]
  except spec.SpecError as error:
    return [str(error)]
  for call in calls:
    known = {each.name for each in entries[call.name].arguments} if call.name in entries else None
    if known is None:
      wrong.append(f'takes no {call.name}')
    elif '...' not in known and not set(call.arguments) <= known:
      wrong.append(f'{call.name} takes {", ".join(known)}')
  return wrong


def test_the_reference_is_up_to_date(binaries):
  assert reference.stale(_ROOT, reference.generate(list(binaries.values()))) == [], 'run make docs'


def test_every_link_leads_somewhere():
  assert [broken for page in _pages() for broken in _broken_links(page)] == []


def test_every_command_is_one_that_its_binary_takes(binaries):
  texts = {str(page.relative_to(_ROOT)): page.read_text(encoding='utf-8') for page in _pages()}
  texts |= {f'experiments/{name}.py': binary.docstring for name, binary in binaries.items()}
  found = {name: _wrong_commands(text, binaries) for name, text in texts.items()}
  assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_every_flag_that_takes_specs_is_declared(binaries):
  assert set(spec_flags.FLAGS) <= set(binaries)
  names = {name for catalogue in spec_flags.CATALOGUES.values() for name in catalogue.builders}
  for binary in binaries.values():
    flags = {flag.name: flag for flag in binary.flags}
    declared = spec_flags.FLAGS.get(binary.name, {})
    assert set(declared) <= set(flags)
    for flag in flags.values():
      default = flag.default or ''
      looks_like_one = flag.kind == 'string' and re.match(r'\w+', default) and default.partition('(')[0] in names
      assert flag.name in declared or not looks_like_one, flag


def test_defaults_of_flags_are_names_of_their_catalogues(binaries):
  for binary in binaries.values():
    for flag in binary.flags:
      keys = spec_flags.FLAGS.get(binary.name, {}).get(flag.name)
      if keys and flag.default is not None:
        assert _wrong_spec(flag.default, binary.name, flag.name, keys) == [], flag


def test_columns_are_those_that_are_written_and_each_is_explained_once():
  assert columns.names(columns.CLIENT_COST) == tuple(field.name for field in dataclasses.fields(report.CostRow))
  tables = (columns.ROUNDS, columns.STAGES, columns.STEPS, columns.HELDOUT, columns.CLIENT_COST, columns.SUMMARY)
  for table in tables:
    assert len(set(columns.names(table))) == len(table)
    for column in table:
      assert ('modelled' in column.name) <= (column.source == columns.MODELLED), column


@pytest.mark.parametrize(
  ('command', 'said'),
  [
    ('python -m experiments.worker --socket=a.sock &', None),
    ("x/python -m experiments.language_model --upload='topk(fraction=0.1)|uniform(bits=8)' --rounds=3", None),
    ("python -m experiments.language_model \\\n  --dataset='text(path=...)' --algorithm=help | head", None),
    ("python -m experiments.language_model --devices='tiers(shares=[1.0], fraction=[0.5])'", None),
    ('for seed in 0 1; do python -m experiments.benchmark --what=training; done', None),
    ('python -m experiments.benchmark --what=scale > /dev/null 2>&1 # a remark', None),
    ("python -m experiments.sweep --dry_run --sweep experiments/sweeps/select.toml --set 'rounds=3'", None),
    ("python -m experiments.language_model --seed=$seed --model=MODEL --dataset='text(path=FOLDER)'", None),
    ('python -m experiments.workers', 'there is no binary workers'),
    ('python -m experiments.worker --sockets=a', 'worker --sockets=a: there is no such flag'),
    ('python -m experiments.worker socket', 'worker socket: this is no flag'),
    ('python -m experiments.sweep --sweep=experiments/sweeps/no.toml', 'there is no such file'),
    ('python -m experiments.language_model --rounds=many', 'takes int'),
    ('python -m experiments.benchmark --what=coding', 'takes training, round'),
    ('python -m experiments.language_model --upload=unifrm', 'takes no unifrm'),
    ("python -m experiments.language_model --upload='uniform(bit=8)'", 'uniform takes'),
    ("python -m experiments.client_cost --policies='all; sufix(blocks=1)'", 'takes no sufix'),
    ("python -m experiments.language_model --upload='uniform", 'No closing quotation'),
  ],
)
def test_wrong_commands_are_found(command, said, binaries):
  wrong = _wrong_commands(f'before `{command}` after', binaries)
  assert len(wrong) == 1 and said in wrong[0] if said else wrong == []


def test_broken_links_are_found(tmp_path):
  (tmp_path / 'b.md').write_text('# A title: *x*\n')
  page = tmp_path / 'a.md'
  page.write_text('[a](b.md#a-title-x) `[a](c.md)` [w](https://x) ![p](no.png) [c](b.md#none)\n```\n[a](d.md)\n```\n')
  assert _broken_links(page) == ['a.md: no.png', 'a.md: b.md#none']


def test_stale_missing_and_left_over_files_are_found(tmp_path):
  pages = tmp_path / 'docs' / 'reference'
  pages.mkdir(parents=True)
  (pages / 'a.md').write_text('old')
  (pages / 'b.md').write_text('')
  wanted = {pathlib.PurePath('docs/reference/a.md'): 'new', pathlib.PurePath('docs/reference/c.md'): ''}
  assert reference.stale(tmp_path, wanted) == [
    'docs/reference/a.md is stale',
    'docs/reference/c.md is missing',
    'docs/reference/b.md is left over',
  ]


def _builder(
  path: str | None = None, width: int | None = None, rate: float = 0.5, kind: str = 'a', **others: int
) -> None:
  """Builds nothing.

  More of it, in
  two lines, where arguments are those of `_other`. Raises ValueError for nothing.

  Args:
    path: A path; must be given. So it is.
    width: See `_other`; or more.
    rate: A rate,
      in two lines.
    others: Whatever.

  Returns:
    None.
  """


def _other(width: int, kind: str) -> None:
  """Builds nothing.

  Args:
    width: A width.
    kind: A kind.
  """


def test_a_builder_is_read():
  entry = builder_docs.entry(_builder, lambda default: ('half', '1/2') if default == 0.5 else None)
  assert entry == builder_docs.Entry(
    'Builds nothing.',
    ('More of it, in two lines, where arguments are those of `_other`.',),
    (
      builder_docs.Argument('path', 'str', None, 'A path. So it is.'),
      builder_docs.Argument('width', 'int | None', 'None', 'A width. Or more.'),
      builder_docs.Argument('rate', 'half', '1/2', 'A rate, in two lines.'),
      builder_docs.Argument('kind', 'str', '"a"', 'A kind.'),
      builder_docs.Argument('...', '', None, 'Whatever.'),
    ),
  )
