"""The names of data sets and partitions; each takes keyword arguments and raises DataError before anything is prepared."""

from collections.abc import Callable

from data import image_source
from data import partitions
from data import source
from data.sources import agnews
from data.sources import cifar
from data.sources import csv_rows
from data.sources import digits
from data.sources import docstring_packages
from data.sources import docstrings
from data.sources import images
from data.sources import imdb
from data.sources import json_rows
from data.sources import leaf
from data.sources import leaf_rows
from data.sources import lm1b
from data.sources import shakespeare
from data.sources import spooky
from data.sources import stackoverflow
from data.sources import text
from data.sources import yelp

DATASETS: dict[str, Callable[..., source.TextSource]] = {
  'docstrings': docstrings.docstrings,
  'stackoverflow': stackoverflow.stackoverflow,
  'shakespeare': shakespeare.shakespeare,
  'text': text.text,
  'leaf': leaf.leaf,
  'lm1b': lm1b.lm1b,
}

CLASSIFICATION_DATASETS: dict[str, Callable[..., source.LabelledSource]] = {
  'docstring_packages': docstring_packages.docstring_packages,
  'imdb': imdb.imdb,
  'agnews': agnews.agnews,
  'yelp': yelp.yelp,
  'spooky': spooky.spooky,
  'csv': csv_rows.csv_rows,
  'jsonl': json_rows.json_rows,
  'leaf': leaf_rows.leaf_rows,
}

IMAGE_DATASETS: dict[str, Callable[..., image_source.ImageSource]] = {
  'digits': digits.digits,
  'cifar10': cifar.cifar10,
  'cifar100': cifar.cifar100,
  'images': images.images,
}

PARTITIONS: dict[str, Callable[..., partitions.Partition]] = {
  'natural': partitions.natural,
  'iid': partitions.iid,
  'shards': partitions.shards,
  'dirichlet': partitions.dirichlet,
}
