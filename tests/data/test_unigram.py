"""The unigram baseline, against numbers worked out by hand."""

import numpy as np
import pytest

from data import errors
from data import unigram


def test_smooths_by_one_and_skips_first_column_and_padding():
  train = np.array([[1, 4, 4, 2], [1, 2, 0, 0]])  # targets 4 4 2 2: with one added, counts of 0..4 are 1 1 3 1 3 of 9
  evaluation = np.array([[4, 4, 3, 0]])  # p = 3/9, 1/9
  assert unigram.unigram_perplexity([train[:1], train[1:]], evaluation, 5) == pytest.approx(27**0.5)


def test_no_target_is_refused():
  with pytest.raises(errors.DataError, match='no token'):
    unigram.unigram_perplexity([np.array([[1, 4]])], np.zeros([0, 2], np.int32), 5)
