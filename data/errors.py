"""The one error a user of the data sets can cause."""


class DataError(ValueError):
  """Says in one line what is wrong with the data or its arguments, and what to do about it."""
