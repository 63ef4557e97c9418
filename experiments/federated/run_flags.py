"""The flags that every training binary shares; `run_setup` reads them."""

from collections.abc import Callable
from collections.abc import Mapping
import types
from typing import Any

from compression.privacy import catalog
from compression.secure_sums import catalog as secure_catalog
from experiments.command import codec_specs
from experiments.command import flag_table
from experiments.loggers import catalog as logger_catalog
from experiments.results import quality
from models import precision
from optimizers import catalog as optimizers_catalog
from optimizers import devices
from optimizers import local_training

_ALL = flag_table.FlagTable('')
_ALL.string(
  'dataset',
  'docstrings',
  'Federated text: docstrings (needs no download), text(path=...), leaf(path=...), stackoverflow, shakespeare.',
)
_ALL.string(
  'partition',
  'natural',
  'Who holds which training example: natural, iid(clients=...), shards(clients=..., labels=...), dirichlet(alpha=..., clients=...).',
)
_ALL.string(
  'model',
  'lstm',
  'lstm, transformer or conformer, with size="tiny", "small" or "large", or any dimension as an argument.',
)
_ALL.string(
  'algorithm',
  'fed_adam',
  f'Who optimizes how: {", ".join(optimizers_catalog.ALGORITHMS)}; for example fed_prox(mu=0.01, client_lr=1, '
  'clip_norm=0), where 0 is no clipping. client_schedule="cosine(rounds=1000, warmup=10)" and server_schedule change the '
  f'learning rates over rounds: {", ".join(optimizers_catalog.SCHEDULES)}.',
)
_ALL.string(
  'trainable',
  'all',
  f'Which part of the model a client trains: {", ".join(optimizers_catalog.POLICIES)}; for example random(fraction=0.4).',
)
_ALL.string(
  'devices',
  'alike',
  'Whether clients differ: alike, or tiers(shares=[0.5, 0.5], ...) with an argument of --trainable for each tier, such '
  'as fraction=[0.2, 0.6], or rounds(shares=[0.5, 0.5], rank=[2, 8]), where all clients of a round are of one tier.',
)
_ALL.string(
  'client_dropout',
  'none',
  'Which clients vanish once they have received the model: none, or bernoulli(rate=0.1), each with this probability.',
)
_ALL.string(
  'privacy',
  'none',
  f'What makes the run private to each client: {", ".join(catalog.PRIVACIES)}; for example gaussian(clip=0.1, epsilon=4) or '
  'gaussian(clip=0.1, noise_multiplier=1). Needs --client_weighting=uniform.',
)
_ALL.float(
  'epsilon_budget',
  None,
  'The epsilon that a private run may come to: it ends before the round that would pass it.',
  0.0,
)
_ALL.string(
  'secure_sum',
  'none',
  f'What hides the update of each client from the server: {", ".join(secure_catalog.SECURE_SUMS)}; for example '
  'modular(bits=16), whose grid reaches up to the clip of --privacy, or modular(bits=16, limit=0.1). Needs '
  '--client_weighting=uniform and an upload that can be added up unseen.',
)
_ALL.string(
  'upload',
  'identity',
  "How updates are encoded on their way up: a chain of links joined by '|', for example uniform(bits=8). Links: "
  f'{", ".join(codec_specs.LINKS)}.',
)
_ALL.string(
  'download',
  'identity',
  'How weights are encoded on their way down, as --upload; or select(vocabulary=1000, neurons=0.5, heads=0.5): clients '
  'ask for a part of the model and train that; instead of neurons and heads also blocks=2, so many residual blocks.',
)
_ALL.enum(
  'base',
  'once',
  list(devices.BASES),
  'How often a client receives what nobody ever trains: once, in the first round in which it takes part; never, as it came '
  'preinstalled; or in every_round.',
)
_ALL.string(
  'pretrained',
  None,
  'Folder of a model to start from: the --output_dir of experiments.pretrain, of experiments.export or of a run.',
)
_ALL.bool('measure_distortion', False, 'Fill the column upload_distortion; clients then decode what they encode.')
_ALL.string(
  'output_dir', None, 'Folder for everything the run leaves. The same command continues a run that was interrupted.'
)
_ALL.string(
  'runtime',
  None,
  'Where to compute: in_process, without another; worker, in a process of its own on this machine; or '
  'remote(workers=["unix:a.sock", "unix:b.sock"]), which spreads clients over the workers that experiments.worker offers '
  'on other machines. By default in_process or, where clients are sent parts of the model and with --deterministic, '
  'worker. May change when a run continues.',
)
_ALL.string(
  'log_to',
  None,
  f'Who is told the rows of metrics.csv as they come: {", ".join(logger_catalog.LOGGERS)}, offline by themselves; for '
  'example mlflow(folder="runs/mlflow"); may change when a run continues.',
)
_ALL.bool(
  'deterministic',
  False,
  'Add up clients in eight fixed groups, in order, so that the result is the same to the last bit here and on any remote '
  'worker; of several workers one computes, the others stand by. One worker repeats itself in any case.',
)
_ALL.integer('rounds', 100, 'Federated rounds; 0 only evaluates the initial model.', lower_bound=0)
_ALL.integer('clients_per_round', 20, 'Clients drawn in each round; 0 for all.', lower_bound=0)
_ALL.enum(
  'client_weighting',
  'examples',
  local_training.CLIENT_WEIGHTINGS,
  "What a client's update counts in the mean: as much as its number of examples, or as much as any other.",
)
_ALL.integer('batch_size', 16, 'Examples in a local batch.', lower_bound=1)
_ALL.integer('local_epochs', 1, 'Passes of a client over its own examples in a round.', lower_bound=1)
_ALL.integer('max_examples_per_client', 1200, 'A client trains on this many of its examples at most.', lower_bound=1)
_ALL.enum(
  'precision',
  'float32',
  precision.PRECISIONS,
  'Of the factors of matrix products on clients; weights, sums and evaluations stay in float32. bfloat16 is faster for '
  'models with wide layers or a large vocabulary, where the processor has instructions for it (amx_bf16, avx512_bf16).',
)
_ALL.integer('seed', 0, 'Decides the initial weights and every draw of the run.', 0, 2**32 - 1)
_ALL.integer('rounds_per_eval', 10, 'Rounds between evaluations on held-out clients.', lower_bound=1)
_ALL.integer('rounds_per_checkpoint', 10, 'Rounds between checkpoints.', lower_bound=1)
_ALL.integer('eval_clients', 100, 'Clients that evaluate, for any seed; 0: all.', lower_bound=0)
_ALL.enum(
  'eval_split',
  'heldout',
  list(quality.JUDGES),
  'Which clients, of those that never train, evaluate: choose rates and the like on validation, tell results on heldout.',
)


def take(
  binary: str,
  without: Mapping[str, str] = types.MappingProxyType({}),
  defaults_for: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda given: {},
  **specialized: tuple[Any, str | None],
) -> flag_table.FlagTable:
  """Returns these flags as those of a binary, which may define others besides; the arguments are those of `FlagTable.copy`."""
  return _ALL.copy(binary, without, defaults_for, **specialized)
