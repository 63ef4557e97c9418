"""Writes docs/reference and what help at the prompt reads from the catalogues, flags and columns, so that they stay true.

python -m tools.reference            rewrites the pages and experiments/command/specs.json
python -m tools.reference --check    exits 1 and names the stale ones
"""

import argparse
import dataclasses
import json
import pathlib
import sys

from tools import binary_docs
from tools import reference_pages
from tools import spec_flags

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_PAGES = pathlib.PurePath('docs/reference')
_SPECS = pathlib.PurePath('experiments/command/specs.json')


def generate(binaries: list[binary_docs.Binary]) -> dict[pathlib.PurePath, str]:
  """Returns the text of every file by its path from the root of the tree."""
  entries = {key: catalogue.entries() for key, catalogue in spec_flags.CATALOGUES.items()}
  found = {_PAGES / name: text for name, text in reference_pages.pages(entries, binaries).items()}
  catalogues = {
    key: dict(
      title=spec_flags.CATALOGUES[key].title, entries={name: dataclasses.asdict(each) for name, each in of.items()}
    )
    for key, of in entries.items()
  }
  specs = dict(flags=spec_flags.FLAGS, catalogues=catalogues)
  return found | {_SPECS: json.dumps(specs, indent=1) + '\n'}


def stale(root: pathlib.Path, wanted: dict[pathlib.PurePath, str]) -> list[str]:
  """Returns a line for each file under `root` that is missing, stale or left over; none if all is well."""
  lines = []
  for path, text in wanted.items():
    if not (root / path).exists():
      lines.append(f'{path} is missing')
    elif (root / path).read_text(encoding='utf-8') != text:
      lines.append(f'{path} is stale')
  pages = (page.relative_to(root) for page in (root / _PAGES).glob('*.md'))
  return lines + [f'{page} is left over' for page in pages if page not in wanted]


def main(root: pathlib.Path, arguments: list[str]) -> int:
  """Rewrites or checks the files under `root` and returns the exit code."""
  parser = argparse.ArgumentParser(description='Writes docs/reference and what help at the prompt reads.')
  parser.add_argument('--check', action='store_true', help='change nothing; exit 1 and name the stale files, if any')
  wanted = generate(binary_docs.read())
  if parser.parse_args(arguments).check:
    lines = stale(root, wanted)
    for line in lines:
      print(f'{line}: run make docs', file=sys.stderr)
    return 1 if lines else 0
  for page in (root / _PAGES).glob('*.md'):
    page.unlink()
  for path, text in wanted.items():
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding='utf-8')
  return 0


if __name__ == '__main__':
  sys.exit(main(_ROOT, sys.argv[1:]))
