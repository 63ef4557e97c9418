"""Cuts running text into sentences without losing a character that is not white space."""

import re
import unicodedata

_PARAGRAPH = re.compile(r'\n\s*\n')
# White space between the end of a sentence and something that can open the next one.
_BOUNDARY = re.compile(r"""(?<=[.!?])\s+(?=["'(\[`]{0,2}[A-Z])""")

_UNSEEN_CATEGORIES = ('Cc', 'Cf')  # control and format characters, such as the zero-width space
_UNSEEN = '\u2581\ufffd'  # SentencePiece's own space, and what stands for a character that was lost


def is_visible(text: str) -> bool:
  """Whether a text has a character that a reader sees and that no tokenizer drops."""
  return any(not _is_unseen(character) for character in text)


def _is_unseen(character: str) -> bool:
  return character.isspace() or character in _UNSEEN or unicodedata.category(character) in _UNSEEN_CATEGORIES


def split_sentences(text: str) -> list[str]:
  """Returns the sentences of `text` in order, white space collapsed, blank-line paragraphs kept apart."""
  sentences = []
  for paragraph in _PARAGRAPH.split(text):
    words = ' '.join(paragraph.split())
    sentences.extend(sentence for sentence in _BOUNDARY.split(words) if sentence)
  return sentences


def split_lines(text: str) -> list[str]:
  """Returns the sentences of each line of `text`: for text whose lines mean something, as in chats and plays.

  A sentence never spans lines, so text without capitals or full stops still becomes one example a line.
  """
  return [sentence for line in text.splitlines() for sentence in split_sentences(line)]
