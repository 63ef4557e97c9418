"""The set-up of a run: what the flags of `run_flags` say, read once."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import pathlib
import sys
import types
from typing import Any

import tensorflow_federated as tff

from compression.privacy import catalog as privacy_catalog
from compression.privacy import plans
from compression.secure_sums import catalog as secure_catalog
from compression.secure_sums import modular
from data import catalog as data_catalog
from data import federated_text
from data import partitions
from data import population as population_lib
from data import prepared_examples
from experiments.command import algorithm_specs
from experiments.command import codec_specs
from experiments.command import device_specs
from experiments.command import failures
from experiments.command import flag_table
from experiments.command import given_objects
from experiments.command import spec
from experiments.command import takers
from experiments.federated import private_runs
from experiments.federated import run
from experiments.federated import secure_runs
from experiments.loggers import catalog as logger_catalog
from experiments.results import output
from experiments.results import quality as quality_lib
from experiments.results import report
from experiments.starts import pretrained
from experiments.workers import runtimes
from models import catalog as models_catalog
from models import checkpoint
from models import model as model_lib
from models import task as task_lib
from optimizers import algorithms
from optimizers import catalog as optimizers_catalog
from optimizers import client_dropout as client_dropout_lib
from optimizers import devices as devices_lib
from optimizers import local_batches
from optimizers import selection

_BASE_SAID = {
  'once': 'travel to each client once, in its first round (--base=once)',
  'preinstalled': 'are with clients before the first round, and count as 0 bytes (--base=preinstalled)',
  'every_round': 'travel to each client of each round (--base=every_round)',
}


@dataclasses.dataclass(frozen=True)
class RunSetup:
  """What the flags say of a run.

  Attributes:
    algorithm: Who optimizes how, in which precision.
    devices: Which client trains what.
    communication: The codecs of both directions.
    batches: How a client goes through its examples.
    client_dropout: Which clients vanish in a round.
    privacy: What makes it private; None if nothing does.
    secure_sum: What hides clients from the server; None if nothing does.
    config: How long the run goes on, and where it writes; its settings are the flags as text.
    flags: The value of every flag, by name.
    secure_plan: The secure sum, its field known; see `among`.
  """

  algorithm: algorithms.Algorithm
  devices: devices_lib.Devices
  communication: algorithms.Communication
  batches: local_batches.LocalBatches
  client_dropout: client_dropout_lib.ClientDropout
  privacy: plans.Privacy | None
  secure_sum: modular.Modular | None
  config: run.Config
  flags: Mapping[str, Any]
  secure_plan: modular.SumPlan | None = None

  def dataset(self, datasets: Mapping[str, Callable[..., Any]] = data_catalog.DATASETS) -> tuple[Any, Any]:
    """Builds what `--dataset` and `--partition` name: a source of `datasets`, and a partition."""
    source = takers.build_dataset(self.flags['dataset'], datasets)
    return source, spec.build(self.flags['partition'], data_catalog.PARTITIONS, 'partition', kind=partitions.Partition)

  def model(self, models: Mapping[str, Callable[..., Any]] = models_catalog.LANGUAGE_MODELS) -> Any:
    """Builds what `--model` names; a language model is a function from vocabulary size to `models.model.Model`."""
    return takers.build_model(self.flags['model'], models)

  def refuse_selection(self, reason: str) -> None:
    """Raises `UsageError`, with the reason, if `--download` is federated select."""
    if self.communication.selection is not None:
      raise failures.UsageError(f'--download=select(...) does not apply: {reason}')

  def trained_by(self, devices: devices_lib.Devices) -> 'RunSetup':
    """Returns this set-up with other devices."""
    return dataclasses.replace(self, devices=devices)

  def adapt(self, base: model_lib.Model) -> model_lib.Model:
    """Returns the model that the devices train of `base`; raises `SpecError` if the flags do not fit it or each other."""
    adapted = device_specs.adapt(self.devices, base, self.config.seed, self.flags['trainable'])
    try:
      algorithms.check_selection(adapted, self.devices, self.communication.selection, self.config.seed)
    except ValueError as error:
      raise spec.SpecError(f'{self.flags["download"]!r}: {error}') from error
    try:
      self.check(adapted)
    except ValueError as error:
      raise spec.SpecError(f'{self.flags["algorithm"]!r}: {error}') from error
    self._check_rounds(adapted)
    return adapted

  def _check_rounds(self, adapted: model_lib.Model) -> None:
    """Raises `SpecError` if rounds could not be private, or clients not be hidden, as flags ask for."""
    weighting, communication = self.flags['client_weighting'], self.communication
    try:
      flag = '--privacy'
      if self.privacy is not None:
        self.algorithm.check_private(communication, self.devices, weighting)
      flag = '--secure_sum'
      if self.secure_sum is not None:
        self.algorithm.check_secure(adapted, communication, self.devices, weighting)
    except ValueError as error:
      raise spec.SpecError(f'{flag}: {error}') from error

  def check(self, adapted: model_lib.Model) -> None:
    """Raises `ValueError` if the algorithm does not fit an adapted model, its devices and codecs."""
    self.algorithm.check(adapted, self.communication, self.devices)

  def process(self, task: task_lib.Task, seed: int | None = None) -> tff.learning.templates.LearningProcess:
    """Composes the learning process of a task whose model is adapted; `seed` decides its draws instead of the run's."""
    seed, weighting = self.config.seed if seed is None else seed, self.flags['client_weighting']
    self._say_base(task.model, seed)
    plan = self.config.privacy
    if (plan is None and self.privacy is not None) or (self.secure_plan is None and self.secure_sum is not None):
      flag = '--privacy' if self.privacy is not None else '--secure_sum'
      raise failures.UsageError(f'{flag} was not planned: this binary has to call RunSetup.among(population) first')
    private = None if plan is None else plan.mechanism(plan.noise_seed)
    rest = (self.devices, self.client_dropout, weighting, private, self.secure_plan)
    try:
      return self.algorithm(task, self.communication, self.batches, seed, *rest)
    except ValueError as error:
      if self.secure_plan is None:
        raise
      raise failures.UsageError(f'--secure_sum: {error}') from error

  def among(self, population: population_lib.Population) -> 'RunSetup':
    """Returns the set-up whose privacy and secure sum are planned for these clients; raises `UsageError` if they do not fit."""
    config, secure = self.config, self.secure_sum
    if self.privacy is not None:
      config = private_runs.planned(self.privacy, population, config, self.flags['epsilon_budget'], secure)
    if secure is None:
      return dataclasses.replace(self, config=config)
    clients_per_round = population.clients_per_round(config.clients_per_round)
    vanish = self.client_dropout != client_dropout_lib.NONE
    plan = secure_runs.planned(secure, config.privacy, len(population.training_ids), clients_per_round, vanish)
    return dataclasses.replace(self, config=config, secure_plan=plan)

  def _say_base(self, adapted: model_lib.Model, seed: int) -> None:
    num_bytes = 4 * algorithms.num_base_parameters(adapted, self.communication, self.devices, seed)
    if num_bytes:
      print(
        f'{num_bytes / 1e6:,.1f} MB of weights (in float32) that nobody trains {_BASE_SAID[self.communication.base]}',
        file=sys.stderr,
      )

  def population(self, examples: prepared_examples.PreparedExamples) -> population_lib.Population:
    """Returns the clients of a run on prepared examples; those of `--eval_split` evaluate."""
    return population_lib.Population.of(examples, self.flags['eval_split'])

  def start(self, build_model: Callable[[int], model_lib.Model]) -> pretrained.WarmStart | None:
    """Reads the language model that `--pretrained` names, found to fit model and devices; None without the flag."""
    if not self.flags['pretrained']:
      return None
    loaded = pretrained.load(self.flags['pretrained'])
    base = build_model(loaded.description.vocabulary_size)
    adapted = self.adapt(base)
    return pretrained.start(loaded, base, adapted, self.rebuilt(adapted))

  def rebuilt(self, adapted: model_lib.Model) -> frozenset[str]:
    """Returns the names of the variables that clients draw from the seed."""
    return self.devices.rebuilt(adapted, self.config.seed)

  def description(
    self, text: federated_text.FederatedText, start: pretrained.WarmStart | None
  ) -> checkpoint.Description:
    """Says what the language model is; raises `UsageError` if it starts from one with another vocabulary."""
    described = checkpoint.Description(
      model=self.config.settings['model'],
      vocabulary_size=text.vocabulary_size,
      sequence_length=text.sequence_length,
      tokenizer=text.tokenizer.model,
      trainable=self.config.settings['trainable'],
      devices=self.config.settings['devices'],
    )
    if start:
      start.check_vocabulary(described, self.flags['dataset'])
    return described

  def measure(
    self, quality: quality_lib.Quality, baselines: Mapping[str, float] = types.MappingProxyType({})
  ) -> report.Measure:
    """Returns a quality as the clients of `--eval_split` judge it, with the baselines there are to beat."""
    return report.Measure(quality, baselines, quality_lib.JUDGES[self.flags['eval_split']])


def read(given: Mapping[str, Any], devices: devices_lib.Devices | None = None) -> RunSetup:
  """Builds what flags name.

  Args:
    given: The value of every flag by name, which all define the run: those of `run_flags` and the binary's own.
    devices: Who trains what, where `--trainable` and `--devices` mean something else.

  Returns:
    The set-up.

  Raises:
    SpecError: For a spec that cannot be built.
    UsageError: Without `--output_dir`, or for a flag that the binary does not take.
  """
  algorithm = algorithm_specs.build(given['algorithm'])
  privacy = spec.build(given['privacy'], privacy_catalog.PRIVACIES, 'privacy', kind=plans.Privacy)
  if given['epsilon_budget'] is not None and privacy is None:
    raise failures.UsageError('--epsilon_budget needs --privacy: without it no epsilon is finite')
  return RunSetup(
    algorithm=dataclasses.replace(algorithm, precision=given['precision']),
    devices=devices or device_specs.build(given['trainable'], given['devices']),
    communication=_communication(given),
    batches=local_batches.LocalBatches(given['batch_size'], given['local_epochs'], given['max_examples_per_client']),
    client_dropout=spec.build(
      given['client_dropout'],
      optimizers_catalog.CLIENT_DROPOUTS,
      'client_dropout',
      kind=client_dropout_lib.ClientDropout,
    ),
    privacy=privacy,
    secure_sum=spec.build(given['secure_sum'], secure_catalog.SECURE_SUMS, 'secure_sum', kind=modular.Modular),
    config=_config(given),
    flags=given,
  )


def _communication(given: Mapping[str, Any]) -> algorithms.Communication:
  upload = codec_specs.build(given['upload'], 'upload')
  download, shared = given['download'], {name: given[name] for name in ('measure_distortion', 'base')}
  if isinstance(download, selection.Selection) or _is_select(download):
    selected = spec.build(download, {'select': selection.Selection}, 'download', kind=selection.Selection)
    return algorithms.Communication(upload, selection=selected, **shared)
  return algorithms.Communication(upload, codec_specs.build_download(download), **shared)


def _is_select(download: Any) -> bool:
  return not given_objects.is_one(download) and spec.parse(download)[0].name == 'select'


def _config(given: Mapping[str, Any]) -> run.Config:
  if not given['output_dir']:
    raise failures.UsageError(
      '--output_dir is missing: name the folder for this run, for example --output_dir=runs/first'
    )
  names = ('rounds', 'clients_per_round', 'rounds_per_eval', 'rounds_per_checkpoint', 'eval_clients', 'seed')
  return run.Config(
    output_dir=pathlib.Path(given['output_dir']),
    **{name: given[name] for name in names},
    settings={name: given_objects.recorded(value) for name, value in given.items() if name != flag_table.PLUGIN},
    settings_are_complete=not any(
      given_objects.is_one(value) for name, value in given.items() if name not in output.FREE_TO_CHANGE
    ),
    start_runtime=runtimes.build(given['runtime'], given['deterministic'], given['clients_per_round']),
    log_to=logger_catalog.build(given['log_to'] or logger_catalog.NONE),
  )
