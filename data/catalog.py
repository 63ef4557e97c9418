"""The names of data sets and partitions; each takes keyword arguments and raises DataError before any data is read."""

from collections.abc import Callable

from data import docstrings, leaf, partitions, shakespeare, source, stackoverflow, text

DATASETS: dict[str, Callable[..., source.TextSource]] = {
  'docstrings': docstrings.docstrings,
  'stackoverflow': stackoverflow.stackoverflow,
  'shakespeare': shakespeare.shakespeare,
  'text': text.text,
  'leaf': leaf.leaf,
}

PARTITIONS: dict[str, Callable[..., partitions.Partition]] = {
  'natural': partitions.natural,
  'iid': partitions.iid,
  'shards': partitions.shards,
  'dirichlet': partitions.dirichlet,
}
