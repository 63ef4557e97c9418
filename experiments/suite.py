"""The binaries as functions, for scripts and notebooks: the flags are keyword arguments, with the same words and defaults.

    from experiments import suite

    run = suite.language_model(model='transformer', upload='uniform(bits=4)', rounds=20, output_dir='runs/mine')
    run.summary['eval/perplexity']
    suite.generate(pretrained=run, prompt='Returns the')

Where a flag takes a spec, its argument may also be what a spec would build: a stage or a list of them, a model, a policy,
an algorithm, a source, all of one's own. Bad input raises a `ValueError` of one line. Interrupted by Ctrl-C, or by the
button of a notebook, a training ends its round, saves what it has and raises `KeyboardInterrupt`; the same call goes on.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import inspect
import os
import pathlib
import signal
import tempfile
import types
from typing import Any

from experiments import client_cost as client_cost_binary
from experiments import compare as compare_binary
from experiments import constrained_finetuning as constrained_finetuning_binary
from experiments import evaluate as evaluate_binary
from experiments import export as export_binary
from experiments import generate as generate_binary
from experiments import language_model as language_model_binary
from experiments import layerwise_ssl as layerwise_ssl_binary
from experiments import predict as predict_binary
from experiments import pretrain as pretrain_binary
from experiments import sweep as sweep_binary
from experiments import text_classification as text_classification_binary
from experiments.central import prediction
from experiments.command import failures
from experiments.command import flag_table
from experiments.command import given_objects
from experiments.command import launch
from experiments.command import plugins
from experiments.loggers import logger
from experiments.results import result_folder
from experiments.results import run_folders
from experiments.workers import local_runtime
from experiments.workers import runtimes

RunFolder, ComparisonFolder = result_folder.RunFolder, result_folder.ComparisonFolder
each_row = logger.each_row
UsageError, RunEnded = failures.UsageError, failures.RunEnded

_READ = ('pretrained', 'teacher', 'run')  # Flags that name the run whose model is built again.

launch.quiet()


@contextlib.contextmanager
def runtime(where: Any = 'in_process') -> Iterator[local_runtime.Runtime]:
  """Computes for a loop of one's own, as a run does: in a `with` block around `process.next`.

  No other process can reach TFF's worker where the system allows that, and it ends with the block, or with this program in
  whatever way. TFF's own default leaves a worker behind that listens on all interfaces. What is computed after the block
  raises `RuntimeError`.

  Args:
    where: What `--runtime` takes, such as `worker`, which federated select needs, or what starts a runtime. Processors are
      for a client each.

  Yields:
    The runtime, which tells its memory.

  Raises:
    UsageError: If there is no such runtime.
    RuntimeError: If there can be no worker.
  """
  start = runtimes.build(where, deterministic=False)
  with (
    tempfile.TemporaryDirectory() as folder,
    start(pathlib.Path(folder) / 'worker.log', 0, len(os.sched_getaffinity(0))) as started,
  ):
    yield started


def predict(texts: Sequence[str], pretrained: Any) -> list[dict[str, Any]]:
  """Names the class of each text by a trained classifier.

  Args:
    texts: The texts.
    pretrained: A `RunFolder` of `text_classification`, or the folder of one or of an export.

  Returns:
    For each text `text`, `label` and `probabilities` by class; for one in which the model finds nothing to read None and
    no probabilities.

  Raises:
    UsageError: If there is no sound classifier.
  """
  return _called(
    predict_binary,
    dict(pretrained=pretrained),
    lambda given: prediction.predict(given['pretrained'], [texts] if isinstance(texts, str) else texts),
  )


def _called(module: types.ModuleType, given: Mapping[str, Any], do: Callable[[Mapping[str, Any]], Any]) -> Any:
  """Returns what `do` makes of the value of every flag of a binary, where a script gives some."""
  named = module.FLAGS.read({name: value for name, value in given.items() if name == flag_table.PLUGIN})
  known = _objects_of([given.get(flag) for flag in _READ])
  with plugins.using(named[flag_table.PLUGIN]), plugins.blamed(), module.FLAGS.called(), given_objects.known(known):
    try:
      return do(module.FLAGS.read(given))
    except failures.Stopped as stop:
      if stop.exit_code == 128 + signal.SIGINT:
        raise KeyboardInterrupt(f'{stop}: the same call {stop.way_on}') from None
      raise SystemExit(stop.exit_code) from stop


def _objects_of(folders: Sequence[Any]) -> dict[str, Any]:
  """Returns what a script gave for the runs among some folders.

  Raises:
    UsageError: If one flag had several objects, or a run had none for it.
  """
  known: dict[str, Any] = {}
  for folder in folders:
    for name, value in folder.objects.items() if isinstance(folder, RunFolder) else ():
      folder.check_object(name)
      if known.setdefault(name, value) is not value:
        raise UsageError(
          f'two runs are read here, each with its own object for {name}: export one, and give its folder'
        )
  return known


def _function(module: types.ModuleType, do: Callable[[Mapping[str, Any]], Any], returns: str) -> Callable[..., Any]:
  """Returns `do` as a function of the flags of a binary, which an editor or a notebook can list."""

  def call(**given: Any) -> Any:
    return _called(module, given, do)

  taken = [flag for name, flag in sorted(module.FLAGS.shown().items()) if name != 'version']
  call.__name__ = call.__qualname__ = module.FLAGS.binary
  call.__module__ = __name__
  arguments = '\n'.join(f'  {flag.name}: {flag.help}' for flag in taken)
  call.__doc__ = f'{module.__doc__.strip()}\n\nArgs:\n{arguments}\n\nReturns:\n  {returns}'
  keyword = inspect.Parameter.KEYWORD_ONLY
  call.__signature__ = inspect.Signature(
    [inspect.Parameter(flag.name, keyword, default=flag.default) for flag in taken]
  )
  return call


def _training(module: types.ModuleType) -> Callable[..., RunFolder]:
  def train(given: Mapping[str, Any]) -> RunFolder:
    module.main(given)
    return RunFolder(
      given['output_dir'], **{name: value for name, value in given.items() if given_objects.is_one(value)}
    )

  return _function(module, train, 'The run, as `RunFolder`.')


def _comparing(module: types.ModuleType) -> Callable[..., ComparisonFolder]:
  def compare(given: Mapping[str, Any]) -> ComparisonFolder:
    module.main(given)
    return ComparisonFolder(given['output_dir'])

  return _function(module, compare, 'Tables and pictures, as `ComparisonFolder`.')


def _exported(given: Mapping[str, Any]) -> pathlib.Path:
  export_binary.main(given)
  return pathlib.Path(given['output_dir'])


def _swept(given: Mapping[str, Any]) -> list[RunFolder]:
  sweep_binary.main(given)
  return [] if given['dry_run'] else [RunFolder(folder) for folder in run_folders.find([given['output_dir']])]


language_model = _training(language_model_binary)
text_classification = _training(text_classification_binary)
constrained_finetuning = _training(constrained_finetuning_binary)
layerwise_ssl = _training(layerwise_ssl_binary)
pretrain = _training(pretrain_binary)
sweep = _function(sweep_binary, _swept, 'The runs; none for `dry_run`.')
compare = _comparing(compare_binary)
client_cost = _comparing(client_cost_binary)
evaluate = _function(evaluate_binary, evaluate_binary.scored, 'What `evaluation.json` says.')
export = _function(export_binary, _exported, 'The folder of the model.')
generate = _function(generate_binary, generate_binary.continued, 'For each prompt its continuations.')
