"""The docstrings of pinned Python packages: real technical English that needs no download; a client is a module."""

from collections.abc import Iterable
from collections.abc import Iterator
import concurrent.futures
import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys

from data import arguments
from data import errors
from data import progress
from data import source

# Named one by one, so that a new dependency changes nothing. Order matters: of equal sentences the first one stays.
DISTRIBUTIONS = {
  'pretrain': ('fonttools', 'matplotlib', 'mpmath', 'numpy', 'pillow', 'pygments', 'scipy'),
  'train': (
    'absl-py', 'anyio', 'dp-accounting', 'fsspec', 'google-vizier', 'grpcio', 'joblib', 'keras', 'markdown',
    'oauthlib', 'protobuf', 'pyparsing', 'scikit-learn', 'sqlalchemy', 'tensorboard', 'tensorflow',
    'tensorflow-estimator', 'tensorflow-federated', 'tensorflow-model-optimization', 'tensorflow-privacy',
    'tensorflow-probability', 'tensorflow-text', 'urllib3',
  ),
  'validation': ('click', 'google-auth', 'huggingface-hub'),
  'heldout': ('hypothesis', 'jax', 'pytest', 'werkzeug'),
}  # fmt: skip

_EXTRACTION_VERSION = 1  # of this file, docstring_worker.py, prose.py and sentences.py together
_SKIPPED_FOLDERS = frozenset(
  ('__pycache__', '_api', '_vendor', 'api', 'examples', 'include', 'substrates', 'test', 'testdata', 'testing', 'tests')
)
_SKIPPED_FILES = re.compile(r'.*_test\.py|test_.*\.py|.*_pb2.*\.py|conftest.*')
_TOKEN = re.compile(r'\w+|[^\w\s]')
_FILES_PER_PROCESS = 100  # about half a second of work
_NUM_PROCESSES = 2
_REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def docstrings(
  min_tokens: int = 100,
  vocabulary: int | str = source.DEFAULT_VOCABULARY,
  sequence_length: int = source.DEFAULT_SEQUENCE_LENGTH,
) -> source.TextSource:
  """Docstrings of installed packages, split by package into pretrain, train, validation and heldout; no download.

  A client is a module, its label the package.

  Args:
    min_tokens: Modules of the last three splits with fewer words and punctuation marks are left out.
    vocabulary: See `TextSource`.
    sequence_length: See `TextSource`.

  Raises DataError if an argument is out of range or a package is not installed.
  """
  arguments.require_integer('min_tokens', min_tokens, 0, 1_000_000)
  names = [name for distributions in DISTRIBUTIONS.values() for name in distributions]
  return source.TextSource(
    name='docstrings',
    fingerprint=fingerprint(names, f' min_tokens={min_tokens}'),
    read=lambda: _read(min_tokens),
    vocabulary=vocabulary,
    sequence_length=sequence_length,
  )


def fingerprint(distributions: Iterable[str], details: str = '') -> str:
  """Returns text that changes whenever what is read from the distributions could change.

  Raises DataError if one is not installed.
  """
  versions = [f'{name}=={_find_distribution(name).version}' for name in distributions]
  return ' '.join([f'extraction={_EXTRACTION_VERSION}{details}', *versions])


def read_modules(distributions: Iterable[str]) -> Iterator[tuple[str, str, list[str]]]:
  """Yields (distribution, module, sentences) module by module; of equal sentences only the first one of all."""
  modules = [(name, module, path) for name in distributions for module, path in list_modules(name)]
  seen: set[str] = set()
  extracted = _extract([path for *_, path in modules])
  for (distribution, module, _), sentences in zip(modules, extracted, strict=True):
    sentences = [sentence for sentence in dict.fromkeys(sentences) if sentence not in seen]
    seen.update(sentences)
    yield distribution, module, sentences


def list_modules(distribution: str) -> list[tuple[str, str]]:
  """Returns the sorted (module name, file path) pairs of a distribution whose docstrings are used."""
  files = _find_distribution(distribution).files or []
  kept = sorted(file for file in files if file.suffix == '.py' and _is_used(file))
  paths = [('.'.join(file.with_suffix('').parts).removesuffix('.__init__'), str(file.locate())) for file in kept]
  missing = next((path for _, path in paths if not os.path.isfile(path)), None)
  if missing or not paths:
    raise errors.DataError(
      f'package {distribution} is damaged ({missing or "no files"}): delete .venv and set it up again'
    )
  return paths


def _find_distribution(name: str) -> importlib.metadata.Distribution:
  try:
    return importlib.metadata.distribution(name)
  except importlib.metadata.PackageNotFoundError:
    raise errors.DataError(
      f'the docstrings data set needs package {name}: install requirements.txt, or choose another data set'
    ) from None


def _is_used(file: importlib.metadata.PackagePath) -> bool:
  folders = file.parts[:-1]
  return '..' not in folders and not _SKIPPED_FOLDERS.intersection(folders) and not _SKIPPED_FILES.fullmatch(file.name)


def _read(min_tokens: int) -> Iterator[tuple[str, source.Example]]:
  split_of = {name: split for split, distributions in DISTRIBUTIONS.items() for name in distributions}
  for distribution, module, sentences in read_modules(split_of):
    num_tokens = sum(len(_TOKEN.findall(sentence)) for sentence in sentences)
    if split_of[distribution] == 'pretrain' or num_tokens >= min_tokens:
      for sentence in sentences:
        yield split_of[distribution], source.Example(client=module, text=sentence, label=distribution)


def _extract(paths: list[str]) -> Iterator[list[str]]:
  """Yields the sentences of every file in order, extracted by two processes."""
  batches = [paths[start : start + _FILES_PER_PROCESS] for start in range(0, len(paths), _FILES_PER_PROCESS)]
  executor = concurrent.futures.ThreadPoolExecutor(_NUM_PROCESSES)
  try:
    results = executor.map(_run_worker, batches)
    with progress.Progress('file', len(paths), task='reading docstrings') as bar:
      for batch, sentences in zip(batches, results, strict=True):
        yield from sentences
        bar.advance(len(batch))
  finally:
    executor.shutdown(cancel_futures=True)  # an interruption does not wait for the files not begun


def _run_worker(paths: list[str]) -> list[list[str]]:
  environment = {**os.environ, 'PYTHONPATH': str(_REPOSITORY)}
  finished = subprocess.run(
        [sys.executable, "-m", "data.sources.docstring_worker"],
        input=json.dumps(paths), capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
  if finished.returncode != 0:
    reason = (finished.stderr.strip().splitlines() or [f'exit code {finished.returncode}'])[-1]
    raise errors.DataError(f'reading docstrings failed ({reason}): delete .venv and set it up again')
  return json.loads(finished.stdout)
