"""The pages tell the truth: the reference is up to date, links lead somewhere, and commands are such as binaries take."""

import dataclasses
import pathlib
import re
import subprocess

import pytest

from experiments.command import builder_docs
from experiments.costs import report
from experiments.results import columns
from tests import page_commands
from tools import binary_docs
from tools import reference
from tools import spec_flags

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_FENCED = re.compile(r'^( *)(```|~~~).*?^\1\2 *$', re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r'`[^`\n]*`')
_LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')
_HEADING = re.compile(r'^#+ (.*)$', re.MULTILINE)
_ELSEWHERE = ('http://', 'https://', 'mailto:')

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


def test_the_reference_is_up_to_date(binaries):
  assert reference.stale(_ROOT, reference.generate(list(binaries.values()))) == [], 'run make docs'


def test_every_link_leads_somewhere():
  assert [broken for page in _pages() for broken in _broken_links(page)] == []


def test_every_command_is_one_that_its_binary_takes(binaries):
  texts = {str(page.relative_to(_ROOT)): page.read_text(encoding='utf-8') for page in _pages()}
  texts |= {f'experiments/{name}.py': binary.docstring for name, binary in binaries.items()}
  found = {name: page_commands.wrong_commands(text, binaries) for name, text in texts.items()}
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
        assert page_commands.wrong_spec(flag.default, binary.name, flag.name, keys) == [], flag


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
  wrong = page_commands.wrong_commands(f'before `{command}` after', binaries)
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
