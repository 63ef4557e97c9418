"""The pages of docs/reference in Markdown."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

from experiments.command import builder_docs
from experiments.command import spec_help
from experiments.results import columns
from experiments.results import files
from experiments.results import markdown_table
from tools import binary_docs
from tools import spec_flags

_WRITTEN = 'Written by `make docs`; change the docstrings and tables that it reads, not this page.'

# Pages of specs, in reading order: what they are called, and what they say first.
SPEC_PAGES = {
  'data': ('Data sets and partitions', 'A client is what the data set calls one, unless `--partition` deals examples out.'),
  'models': ('Models', 'What is not named has the value of the `size`; any dimension can be given by itself.'),
  'algorithms': ('Algorithms and schedules', 'An algorithm says which optimizer runs at the clients, and which at the server.'),
  'clients': ('Clients: what they train, devices, dropout', 'Only what a client trains travels up.'),
  'codecs': ('Codecs of uploads and downloads', 'Links of a chain apply from left to right. [The laws they keep](../extending/codec.md).'),
  'self_supervision': ('Self-supervision: objectives and stages', 'For `experiments.layerwise_ssl`.'),
  'runtimes': ('Runtimes and loggers', 'May change when a run continues.'),
}  # fmt: skip
_TABLES = (
  ('metrics.csv of a federated run', columns.ROUNDS, 'A row a round. A cell without a measurement is empty, never 0.'),
  ('metrics.csv of a training in stages', columns.STAGES, 'The rounds of all stages, numbered on.'),
  ('metrics.csv of a training in one place', columns.STEPS, 'A row an evaluation, of `experiments.pretrain`.'),
  ('heldout.csv', columns.HELDOUT, 'How the last model did on each client, or example, that judged it.'),
  ('client_cost.csv', columns.CLIENT_COST, 'A row a policy, of `experiments.client_cost`.'),
  (
    'summary.json of a federated run',
    columns.SUMMARY,
    'What was not measured is an empty text, a number that is not finite null.',
  ),
  ('summary.json of a training in stages', columns.PROBES, 'As that of a federated run, and besides:'),
  ('summary.json of a training in one place', columns.PRETRAINING_SUMMARY, 'Of `experiments.pretrain`.'),
  ('evaluation.json', columns.EVALUATION, 'Of `experiments.evaluate`.'),
  (
    'the --csv of a comparison of runs',
    columns.COMPARED_RUNS,
    'A row an evaluation of a run, of `experiments.compare`.',
  ),
  ('the --csv of a comparison of codecs', columns.COMPARED_CODECS, 'Of `experiments.compare --what=codecs`.'),
  ('the --csv of a comparison of policies', columns.COMPARED_POLICIES, 'Of `experiments.compare --what=policies`.'),
  ('config.json', columns.CONFIG, 'What the run was asked for, and what else decides its result.'),
)
_SPANS = {
  columns.ROUND: 'this round alone (of steps: since the row before)',
  columns.SO_FAR: 'all rounds, or steps, up to this one',
  columns.MODEL: 'the model after the round or step',
  columns.WHOLE: 'the run as a whole',
  columns.ROW: 'what the row is about',
}
_SOURCES = {
  columns.COUNTED: 'exact, from the clients, examples and tensors themselves',
  columns.MEASURED: 'depends on the weights or on the machine',
  columns.MODELLED: 'computed from a graph, or from a payload that did not travel',
  columns.GIVEN: 'what the run was asked for, or is known by',
}


Entries = Mapping[str, Mapping[str, builder_docs.Entry]]  # By catalogue and name.


def pages(entries: Entries, binaries: Sequence[binary_docs.Binary]) -> dict[str, str]:
  """Returns the text of every page by its name."""
  specs = {f'{name}.md': _spec_page(name, entries) for name in SPEC_PAGES}
  return {'README.md': _index(entries)} | specs | {'flags.md': _flags(binaries), 'results.md': _results()}


def _index(entries: Entries) -> str:
  rows = []
  for page, (title, _) in SPEC_PAGES.items():
    names = [name for key in _keys(page) for name in entries[key]]
    rows.append([f'[{title}]({page}.md)', ', '.join(f'`{name}`' for name in dict.fromkeys(names))])
  rows += [
    ['[Flags](flags.md)', 'every flag of every binary'],
    ['[Results](results.md)', 'every file of a run and what its columns and keys mean'],
  ]
  prompt = (
    "The same at the prompt: `python -m experiments.language_model --algorithm=help`, `--upload='help(uniform)'`."
  )
  return _page(['# Reference', '', _WRITTEN, '', prompt, '', markdown_table.render(['page', 'names'], rows)])


def _keys(page: str) -> list[str]:
  return [key for key, catalogue in spec_flags.CATALOGUES.items() if catalogue.page == page]


def _spec_page(page: str, entries: Entries) -> str:
  title, words = SPEC_PAGES[page]
  lines = [f'# {title}', '', _WRITTEN, '', words, '']
  for key in _keys(page):
    lines += [f'## {spec_flags.CATALOGUES[key].title}', '', f'For {_takers(key)}.', '']
    for name, entry in entries[key].items():
      lines += _entry(name, entry)
  return _page(lines)


def _takers(key: str) -> str:
  """Returns which flags of which binaries take a catalogue."""
  binaries: dict[str, list[str]] = {}
  for binary, catalogues_of in spec_flags.FLAGS.items():
    for flag, keys in catalogues_of.items():
      if key in keys:
        binaries.setdefault(flag, []).append(f'[{binary}](flags.md#{binary})')
  return '; '.join(f'`--{flag}` of {", ".join(names)}' for flag, names in binaries.items())


def _entry(name: str, entry: builder_docs.Entry) -> list[str]:
  arguments = [dataclasses.asdict(each) for each in entry.arguments]
  lines = [f'### {name}', '', '```', spec_help.signature(name, arguments), '```', '']
  for paragraph in (entry.summary, *entry.notes):
    lines += [_escaped(paragraph), '']
  if entry.arguments:
    rows = ([f'`{each.name}`', *_value(each), each.meaning] for each in entry.arguments)
    lines += [_table(('argument', 'type', 'default', 'meaning'), rows), '']
  return lines


def _value(argument: builder_docs.Argument) -> tuple[str, str]:
  if argument.name == '...':
    return '', ''
  return f'`{argument.type}`', 'must be given' if argument.default is None else f'`{argument.default}`'


def _flags(binaries: Sequence[binary_docs.Binary]) -> str:
  lines = ['# Flags', '', _WRITTEN, '', 'Every binary takes `--help`, `--version` and `--flagfile=FILE` besides.', '']
  for binary in binaries:
    lines += [f'## {binary.name}', '', _escaped(_summary(binary)), '']
    rows = ([f'`--{flag.name}`', flag.kind, _default(flag), _help(binary.name, flag)] for flag in binary.flags)
    lines += [_table(('flag', 'takes', 'default', 'meaning'), rows), '']
  return _page(lines)


def _summary(binary: binary_docs.Binary) -> str:
  return ' '.join(binary.docstring.partition('\n\n')[0].split())


def _default(flag: binary_docs.Flag) -> str:
  return 'none' if flag.default is None else f'`{flag.default}`'


def _help(binary: str, flag: binary_docs.Flag) -> str:
  """Returns the help of a flag, with a link to the names it takes."""
  keys = spec_flags.FLAGS.get(binary, {}).get(flag.name, ())
  found = dict.fromkeys(spec_flags.CATALOGUES[key].page for key in keys)
  links = ', '.join(f'[{SPEC_PAGES[page][0]}]({page}.md)' for page in found)
  return f'{flag.help} {links}'.strip()


def _results() -> str:
  lines = [
    '# Results', '', _WRITTEN, '', '`of` says what a value is of:', '',
    *(f'- **{span}**: {words}' for span, words in _SPANS.items()),
    '', '`how` says how it comes about:', '',
    *(f'- **{source}**: {words}' for source, words in _SOURCES.items()),
    '', '## Files', '',
    _table(('file', 'left by', 'holds'), ([f'`{file.pattern}`', ', '.join(file.binaries), file.meaning] for file in files.FILES)), '',
  ]  # fmt: skip
  for title, table, words in _TABLES:
    rows = ([f'`{each.name}`', each.unit, each.span, each.source, each.meaning] for each in table)
    lines += [f'## {title}', '', words, '', _table(('name', 'unit', 'of', 'how', 'meaning'), rows), '']
  return _page(lines)


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
  return markdown_table.render(header, ([_escaped(cell) for cell in row] for row in rows))


def _escaped(text: str) -> str:
  """Returns text in which Markdown sees no HTML: the brackets of `train/<class>`, outside of backquotes."""
  parts = text.split('`')
  return '`'.join(part if index % 2 else part.replace('<', '&lt;') for index, part in enumerate(parts))


def _page(lines: Sequence[str]) -> str:
  text = '\n'.join(lines).rstrip()
  return f'{text}\n'
