"""The flags that every training binary shares, and what they say."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import pathlib
from typing import Any

from absl import flags

from data import catalog as data_catalog
from data import federated_text
from data import source as source_lib
from experiments.command import algorithm_specs
from experiments.command import codec_specs
from experiments.command import device_specs
from experiments.command import launch
from experiments.command import spec
from experiments.command import takers
from experiments.federated import run
from experiments.results import quality
from experiments.starts import encoder_start
from experiments.starts import pretrained
from experiments.workers import runtimes
from models import catalog as models_catalog
from models import checkpoint
from models import model as model_lib
from models import precision
from optimizers import algorithms
from optimizers import catalog as optimizers_catalog
from optimizers import client_dropout as client_dropout_lib
from optimizers import devices as devices_lib
from optimizers import local_batches
from optimizers import local_training
from optimizers import selection

_DATASET = flags.DEFINE_string(
  'dataset',
  'docstrings',
  'Federated text: docstrings (needs no download), text(path=...), leaf(path=...), stackoverflow, shakespeare.',
)
_PARTITION = flags.DEFINE_string(
  'partition',
  'natural',
  'Who holds which training example: natural, iid(clients=...), shards(clients=..., labels=...), dirichlet(alpha=..., clients=...).',
)
_MODEL = flags.DEFINE_string(
  'model',
  'lstm',
  'lstm, transformer or conformer, with size="tiny", "small" or "large", or any dimension as an argument.',
)
_ALGORITHM = flags.DEFINE_string(
  'algorithm',
  'fed_adam',
  f'Who optimizes how: {", ".join(optimizers_catalog.ALGORITHMS)}; for example fed_prox(mu=0.01, client_lr=1, '
  'clip_norm=0), where 0 is no clipping. client_schedule="cosine(rounds=1000, warmup=10)" and server_schedule change the '
  f'learning rates over rounds: {", ".join(optimizers_catalog.SCHEDULES)}.',
)
_TRAINABLE = flags.DEFINE_string(
  'trainable',
  'all',
  f'Which part of the model a client trains: {", ".join(optimizers_catalog.POLICIES)}; for example random(fraction=0.4).',
)
_DEVICES = flags.DEFINE_string(
  'devices',
  'alike',
  'Whether clients differ: alike, or tiers(shares=[0.5, 0.5], ...) with an argument of --trainable for each tier, such '
  'as fraction=[0.2, 0.6].',
)
_CLIENT_DROPOUT = flags.DEFINE_string(
  'client_dropout',
  'none',
  'Which clients vanish once they have received the model: none, or bernoulli(rate=0.1), each with this probability.',
)
_UPLOAD = flags.DEFINE_string(
  'upload',
  'identity',
  "How updates are encoded on their way up: a chain of links joined by '|', for example uniform(bits=8). Links: "
  f'{", ".join(codec_specs.LINKS)}.',
)
_DOWNLOAD = flags.DEFINE_string(
  'download',
  'identity',
  'How weights are encoded on their way down, as --upload; or select(vocabulary=1000, neurons=0.5, heads=0.5): clients '
  'ask for a part of the model and train that; instead of neurons and heads also blocks=2, so many residual blocks.',
)
_PRETRAINED = flags.DEFINE_string(
  'pretrained',
  None,
  'Folder of a model to start from: the --output_dir of experiments.pretrain, of experiments.export or of a run.',
)
_MEASURE_DISTORTION = flags.DEFINE_bool(
  'measure_distortion', False, 'Fill the column upload_distortion; clients then decode what they encode.'
)
_OUTPUT_DIR = flags.DEFINE_string(
  'output_dir', None, 'Folder for everything the run leaves. The same command continues a run that was interrupted.'
)
_RUNTIME = flags.DEFINE_string(
  'runtime',
  'local',
  'Where to compute: local, or remote(workers=["unix:a.sock", "unix:b.sock"]), which spreads clients over the workers '
  'that experiments.worker offers on other machines; may change when a run continues.',
)
_DETERMINISTIC = flags.DEFINE_bool(
  'deterministic',
  False,
  'Add up clients in eight fixed groups, in order, so that the result is the same to the last bit here and on any remote '
  'worker; of several workers one computes, the others stand by. One worker repeats itself in any case.',
)
_ROUNDS = flags.DEFINE_integer('rounds', 100, 'Federated rounds; 0 only evaluates the initial model.', lower_bound=0)
_CLIENTS = flags.DEFINE_integer('clients_per_round', 20, 'Clients drawn in each round; 0 for all.', lower_bound=0)
_CLIENT_WEIGHTING = flags.DEFINE_enum(
  'client_weighting',
  'examples',
  local_training.CLIENT_WEIGHTINGS,
  "What a client's update counts in the mean: as much as its number of examples, or as much as any other.",
)
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 16, 'Examples in a local batch.', lower_bound=1)
_LOCAL_EPOCHS = flags.DEFINE_integer(
  'local_epochs', 1, 'Passes of a client over its own examples in a round.', lower_bound=1
)
_MAX_EXAMPLES = flags.DEFINE_integer(
  'max_examples_per_client', 1200, 'A client trains on this many of its examples at most.', lower_bound=1
)
_PRECISION = flags.DEFINE_enum(
  'precision',
  'float32',
  precision.PRECISIONS,
  'Of the factors of matrix products on clients; weights, sums and evaluations stay in float32. bfloat16 is faster for '
  'models with wide layers or a large vocabulary, where the processor has instructions for it (amx_bf16, avx512_bf16).',
)
_SEED = flags.DEFINE_integer('seed', 0, 'Decides the initial weights and every draw of the run.', 0, 2**32 - 1)
_ROUNDS_PER_EVAL = flags.DEFINE_integer(
  'rounds_per_eval', 10, 'Rounds between evaluations on held-out clients.', lower_bound=1
)
_ROUNDS_PER_CHECKPOINT = flags.DEFINE_integer('rounds_per_checkpoint', 10, 'Rounds between checkpoints.', lower_bound=1)
_EVAL_CLIENTS = flags.DEFINE_integer('eval_clients', 100, 'Clients that evaluate, for any seed; 0: all.', lower_bound=0)
_EVAL_SPLIT = flags.DEFINE_enum(
  'eval_split',
  'heldout',
  list(quality.JUDGES),
  'Which clients, of those that never train, evaluate: choose rates and other settings on validation, tell results on heldout.',
)
flags.DEFINE_bool('version', False, 'Print the version and exit.')


def specialize(**flags_by_name: tuple[Any, str | None]) -> None:
  """Gives flags other defaults, and other help where it is not None, in a binary that needs them."""
  for name, (default, help_text) in flags_by_name.items():
    flags.FLAGS.set_default(name, default)
    flags.FLAGS[name].help = help_text or flags.FLAGS[name].help


def dataset(datasets: Mapping[str, Callable[..., Any]] = data_catalog.DATASETS) -> tuple[Any, Any]:
  """Builds what `--dataset` and `--partition` name: a source of `datasets` and a partition."""
  return (
    takers.build_dataset(_DATASET.value, datasets),
    spec.build(_PARTITION.value, data_catalog.PARTITIONS, 'partition'),
  )


def model(models: Mapping[str, Callable[..., Any]] = models_catalog.LANGUAGE_MODELS) -> Any:
  """Builds what `--model` names; a language model is a function from vocabulary size to `models.model.Model`."""
  return takers.build_model(_MODEL.value, models)


def algorithm() -> algorithms.Algorithm:
  """Builds what `--algorithm` names, in the precision of `--precision`."""
  return dataclasses.replace(algorithm_specs.build(_ALGORITHM.value), precision=_PRECISION.value)


def devices() -> devices_lib.Devices:
  """Builds what `--trainable` and `--devices` name."""
  return device_specs.build(_TRAINABLE.value, _DEVICES.value)


def method(methods: Mapping[str, Callable[..., Any]]) -> Any:
  """Builds what `--trainable` names where it is fitted to limits."""
  return spec.build(_TRAINABLE.value, methods, 'trainable')


def limits() -> str:
  """Returns the value of `--devices`."""
  return _DEVICES.value


def client_dropout() -> client_dropout_lib.ClientDropout:
  """Builds what `--client_dropout` names."""
  return spec.build(_CLIENT_DROPOUT.value, optimizers_catalog.CLIENT_DROPOUTS, 'client_dropout')


def client_weighting() -> str:
  """Returns the value of `--client_weighting`."""
  return _CLIENT_WEIGHTING.value


def dataset_text() -> str:
  """Returns the value of `--dataset`, for messages."""
  return _DATASET.value


def pretrained_name() -> str | None:
  """Returns the value of `--pretrained`."""
  return _PRETRAINED.value


def adapt(devices_built: devices_lib.Devices, base: model_lib.Model) -> model_lib.Model:
  """Returns the model that the devices train, once `--download` is found to fit it."""
  adapted = device_specs.adapt(devices_built, base, _SEED.value, _TRAINABLE.value)
  try:
    algorithms.check_selection(adapted, devices_built, communication().selection, _SEED.value)
  except ValueError as error:
    raise spec.SpecError(f'{_DOWNLOAD.value!r}: {error}') from error
  try:
    algorithm().check(adapted, communication(), devices_built)
  except ValueError as error:
    raise spec.SpecError(f'{_ALGORITHM.value!r}: {error}') from error
  return adapted


def start(build_model: Any, devices_built: devices_lib.Devices) -> pretrained.Start | None:
  """Reads what `--pretrained` names, found to fit the model and the devices; None without the flag."""
  if not _PRETRAINED.value:
    return None
  loaded = pretrained.load(_PRETRAINED.value)
  base = build_model(loaded.description.vocabulary_size)
  adapted = adapt(devices_built, base)
  return pretrained.start(loaded, base, adapted, devices_built.rebuilt(adapted, _SEED.value))


def description(text: federated_text.FederatedText, start_built: pretrained.Start | None) -> checkpoint.Description:
  """Says what the flags and the data set make of the model, once `start` is found to have the same vocabulary."""
  described = checkpoint.Description(
    model=_MODEL.value,
    vocabulary_size=text.vocabulary_size,
    sequence_length=text.sequence_length,
    tokenizer=text.tokenizer.model,
    trainable=_TRAINABLE.value,
    devices=_DEVICES.value,
  )
  if start_built:
    start_built.check_vocabulary(described, _DATASET.value)
  return described


def classifier_description(
  start_built: encoder_start.EncoderStart, source: source_lib.LabelledSource
) -> checkpoint.Description:
  """Says what the flags make of a classifier."""
  return start_built.description(source, _TRAINABLE.value, _DEVICES.value)


def communication() -> algorithms.Communication:
  """Builds the codecs of `--upload` and `--download`."""
  upload = codec_specs.build(_UPLOAD.value, 'upload')
  if spec.parse(_DOWNLOAD.value)[0].name == 'select':
    selected = spec.build(_DOWNLOAD.value, {'select': selection.Selection}, 'download')
    return algorithms.Communication(upload, measure_distortion=_MEASURE_DISTORTION.value, selection=selected)
  return algorithms.Communication(upload, codec_specs.build_download(_DOWNLOAD.value), _MEASURE_DISTORTION.value)


def batches() -> local_batches.LocalBatches:
  """Builds how a client goes through its examples."""
  return local_batches.LocalBatches(_BATCH_SIZE.value, _LOCAL_EPOCHS.value, _MAX_EXAMPLES.value)


def config() -> run.Config:
  """Builds the run's configuration.

  Raises:
    UsageError: Without `--output_dir`.
  """
  if not _OUTPUT_DIR.value:
    raise launch.UsageError(
      '--output_dir is missing: name the folder for this run, for example --output_dir=runs/first'
    )
  return run.Config(
    output_dir=pathlib.Path(_OUTPUT_DIR.value),
    rounds=_ROUNDS.value,
    clients_per_round=_CLIENTS.value,
    rounds_per_eval=_ROUNDS_PER_EVAL.value,
    rounds_per_checkpoint=_ROUNDS_PER_CHECKPOINT.value,
    eval_clients=_EVAL_CLIENTS.value,
    seed=_SEED.value,
    settings=settings(),
    settings_are_complete=True,
    start_runtime=runtimes.build(_RUNTIME.value, _DETERMINISTIC.value),
  )


def eval_split() -> str:
  """Returns the value of `--eval_split`."""
  return _EVAL_SPLIT.value


def settings() -> dict[str, Any]:
  """Returns every run flag with its value, defaults included, by name."""
  return {flag.name: flag.value for flag in flags.FLAGS.get_flags_for_module(__name__) if flag.name != 'version'}
