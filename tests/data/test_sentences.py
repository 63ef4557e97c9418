"""Sentences are cut where one ends and another begins, and nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from data import sentences


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('', []),
    (' \n\n ', []),
    ('One. Two? Three! four', ['One.', 'Two?', 'Three! four']),
    ('Use e.g. this, v1.2 or 3.\n(Or not.)', ['Use e.g. this, v1.2 or 3.', '(Or not.)']),
    ('a line\nthat goes on\n\nnew paragraph', ['a line that goes on', 'new paragraph']),
  ],
)
def test_splits_at_the_end_of_sentences_and_paragraphs(text: str, expected: list[str]):
  assert sentences.split_sentences(text) == expected


@pytest.mark.parametrize(
  ('text', 'expected'),
  [('', False), (' \u00a0\n\x00\u200b\ufeff', False), (' \u200b.', True), ('\u65e5', True), ('\ud800', True)],
)
def test_white_space_and_what_has_no_shape_is_not_visible(text: str, expected: bool):
  assert sentences.is_visible(text) == expected


@given(st.text(st.characters()))
def test_keeps_every_word_of_any_text(text: str):
  found = sentences.split_sentences(text)
  assert ' '.join(found).split() == text.split()
  assert all(found)
