"""A training in stages: for each a run of its own, which begins with what the last one has learned.

A stage's folder is a run like any other, so that a training that was killed goes on in the stage, and at the round, in
which it was; a stage that is done is not entered again. A client whose data cannot be read counts as if it had received
what was frozen.
"""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Any

import tensorflow as tf

from compression import broadcast
from data import client_key
from experiments.command import failures
from experiments.federated import participation
from experiments.federated import run
from experiments.loggers import logger
from experiments.results import metrics
from experiments.results import run_files
from experiments.stages import stage_metrics
from experiments.stages import stage_plan
from experiments.starts import pretrained
from models import model as model_lib
from models import task as task_lib
from optimizers import stages as stages_lib

_SEED_OF_NEXT_STAGE = 1_000_003  # Added to that of a stage, so that stages draw differently.
_NUM_SEEDS = 2**32


def train(plan: stage_plan.StagePlan) -> dict[str, Any]:
  """Runs all stages that are left, and leaves metrics.csv in the folder of the training.

  Returns:
    The summary of the whole training, as `run.run` returns that of a run.

  Raises:
    UsageError: See `run.run`; or if a stage diverged.
  """
  rows, needs, frozen_bytes, summaries, start = [], [], {}, [], None
  for stage in plan.stages:
    config = _config(plan, stage)
    task = plan.build_task(stage.num_blocks)
    print(f'stage {stage.number} of {len(plan.stages)}: {_text(stage)}', flush=True)
    summaries.append(_finished(config) or _run(plan, stage, task, config, start))
    _check_finite(stage, summaries[-1])
    rows.append(metrics.read(config.output_dir / 'metrics.csv'))
    needs.append(_needs(plan, stage, task, config))
    joined = stage_metrics.combine(rows, needs, frozen_bytes)
    start, newly_frozen = _passed_on(plan, stage, task, config.output_dir)
    frozen_bytes |= newly_frozen
    stage_metrics.write(joined, plan.config.output_dir / 'metrics.csv')
  return _summary(joined, summaries)


def log(config: run.Config) -> None:
  """Hands the logger of a training, whose summary is written, the rows of all stages: beside theirs, a run of its own."""
  with logger.around(config.log_to, config.output_dir) as on_row:
    for row in metrics.read(config.output_dir / 'metrics.csv'):
      on_row(row)


def folder(output_dir: pathlib.Path, number: int) -> pathlib.Path:
  """Returns the folder of a stage."""
  return output_dir / f'stage_{number:02}'


def _run(
  plan: stage_plan.StagePlan,
  stage: stages_lib.TrainingStage,
  task: task_lib.Task,
  config: run.Config,
  start: pretrained.WarmStart | None,
) -> dict[str, Any]:
  process = plan.build_process(task, stage, config.draw_seed)
  return run.run(task, process, plan.population, config, start, plan.describe(stage.num_blocks))


def _finished(config: run.Config) -> dict[str, Any] | None:
  """Returns the summary of a stage that is done, None if it is not."""
  try:
    summary = run_files.read_summary(config.output_dir)
  except ValueError:
    return None
  return summary if summary and summary.get('rounds') == config.rounds else None


def _check_finite(stage: stages_lib.TrainingStage, summary: Mapping[str, Any]) -> None:
  if summary.get('diverged_round') is not None:
    raise failures.UsageError(
      f'stage {stage.number} diverged, since its round {summary["diverged_round"]}, and no stage can go on from there: '
      'choose a new --output_dir and lower learning rates'
    )


def _summary(rows: Sequence[Mapping[str, Any]], summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """Returns that of the last stage, with what adds up over all of them."""
  peaks = [summary['peak_rss_bytes'] for summary in summaries]
  return summaries[-1] | {
    'rounds': rows[-1]['round'],
    **{name: rows[-1][name] for name in ('upload_bytes_total', 'download_bytes_total')},
    **{name: sum(summary[name] for summary in summaries) for name in ('dropped_updates', 'seconds')},
    'peak_rss_bytes': {name: max((peak[name] or 0) for peak in peaks) or None for name in peaks[0]},
  }


def _config(plan: stage_plan.StagePlan, stage: stages_lib.TrainingStage) -> run.Config:
  return dataclasses.replace(
    plan.config,
    output_dir=folder(plan.config.output_dir, stage.number),
    rounds=plan.config.rounds // len(plan.stages),
    draw_seed=(plan.config.seed + _SEED_OF_NEXT_STAGE * (stage.number - 1)) % _NUM_SEEDS,
    facts=plan.config.facts | dict(stage=stage.number),
  )


def _text(stage: stages_lib.TrainingStage) -> str:
  first = stage.num_blocks - stage.num_trained_blocks + 1
  frozen = f', on {first - 1} frozen' if first > 1 else ''
  return f'trains blocks {first} to {stage.num_blocks}{frozen}'


def _passed_on(
  plan: stage_plan.StagePlan, stage: stages_lib.TrainingStage, task: task_lib.Task, stage_folder: pathlib.Path
) -> tuple[pretrained.WarmStart, dict[str, int]]:
  """Returns the weights with which the next stage begins, and the bytes of each block of them that it freezes.

  What the next stage freezes is what clients decode of a payload for each block, encoded here once; the bytes are those
  of this payload.
  """
  loaded = pretrained.load(stage_folder)
  weights = dict(loaded.weights)
  if not plan.keeps_head:
    weights = {name: value for name, value in weights.items() if not name.startswith('head/')}
  members, num_bytes = collections.defaultdict(list), {}
  for name in _newly_kept(plan, stage, task):
    members[model_lib.block_of(name)].append(name)
  for block, names in members.items():
    sent = [weights[name] for name in names]
    round_seed = tf.constant([plan.config.seed, stage.number], tf.int64)
    decoded, payload_bytes = broadcast.received(plan.download, [tf.constant(each) for each in sent], round_seed)
    weights |= {name: tensor.numpy() for name, tensor in zip(names, decoded, strict=True)}
    num_bytes[block] = int(payload_bytes)
  return pretrained.WarmStart(dataclasses.replace(loaded, weights=weights)), num_bytes


def _newly_kept(plan: stage_plan.StagePlan, stage: stages_lib.TrainingStage, task: task_lib.Task) -> list[str]:
  """Returns the names of the variables that the next stage freezes, if there is one."""
  if stage.number == len(plan.stages):
    return []
  following = plan.stages[stage.number]
  kept = following.policy.kept(plan.build_task(following.num_blocks).model) - stage.policy.kept(task.model)
  return [variable.name for variable in task.model.variables if variable.name in kept]


def _needs(
  plan: stage_plan.StagePlan, stage: stages_lib.TrainingStage, task: task_lib.Task, config: run.Config
) -> list[dict[str, frozenset[str]]]:
  """Returns, for each round of a stage, the frozen blocks that each of its clients runs, and the frozen embedding."""
  kept = stage.policy.kept(task.model)
  frozen = list(dict.fromkeys(variable.block for variable in task.model.variables if variable.name in kept))
  blocks = [block for block in frozen if block.startswith('block_')]
  always = frozenset(frozen).difference(blocks)
  draw, needs = participation.draw(plan.population, config.clients_per_round, config.draw_seed), []
  for number in range(1, config.rounds + 1):
    seed = broadcast.round_seed(config.draw_seed, tf.constant(number, tf.int64))
    needs.append({})
    for client in draw(number):
      key = tf.constant(client_key.of_id(client), tf.int64)
      kept = stage.depth_dropout.kept_in_round(len(blocks), seed, key).numpy()
      needs[-1][client] = always | {block for block, runs in zip(blocks, kept, strict=True) if runs}
  return needs
