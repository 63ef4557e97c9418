"""Turns a play as plain text, NAME: and the lines below it, into a client for each speaker, for text(path=...).

    python -m tools.shakespeare_speakers input.txt speakers.jsonl

Such text is karpathy/char-rnn's data/tinyshakespeare/input.txt: 7,097 speeches of 299 speakers.
"""

from collections.abc import Iterator
import json
import pathlib
import sys


def speeches(text: str) -> Iterator[tuple[str, str]]:
  """Yields speaker and speech of each paragraph that begins with a line `NAME:`; others are not theirs and left out."""
  for paragraph in text.split('\n\n'):
    name, _, speech = paragraph.strip().partition('\n')
    if name.endswith(':') and speech:
      yield name.removesuffix(':'), ' '.join(speech.split())


def main(source: pathlib.Path, target: pathlib.Path) -> None:
  """Writes a JSON line for each speech."""
  rows = [json.dumps(dict(client=name, text=speech)) for name, speech in speeches(source.read_text(encoding='utf-8'))]
  target.write_text('\n'.join(rows) + '\n')
  print(f'{len(rows):,} speeches of {len({json.loads(row)["client"] for row in rows}):,} speakers in {target}')


if __name__ == '__main__':
  main(*map(pathlib.Path, sys.argv[1:3]))
