"""Stages: what each trains, what clients receive once, and features that are worth something."""

import contextlib
import functools
import types

import numpy as np
import pytest
import tensorflow as tf

from compression import broadcast
from compression import codec as codec_lib
from compression import update_codec
from compression.stages import uniform
from data import client_key
from data import partitions
from data import prepare_images
from data.sources import digits
from experiments.federated import run
from experiments.results import metrics
from experiments.stages import lessons
from experiments.stages import linear_probe
from experiments.stages import stage_metrics
from experiments.stages import stage_plot
from experiments.stages import stage_runs
from models import checkpoint
from models import self_supervised_task
from models import simclr
from models import vit
from optimizers import stages
from tests import tiny_task


def _shape(schedule, num_blocks):
  return [(stage.number, stage.num_blocks, stage.num_trained_blocks) for stage in schedule.of(num_blocks)]


@pytest.mark.parametrize(
  ('schedule', 'expected'),
  [
    (stages.layerwise(), [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 4, 1)]),
    (stages.layerwise(layers_per_stage=2), [(1, 2, 2), (2, 4, 2)]),
    (stages.progressive(layers_per_stage=2), [(1, 2, 2), (2, 4, 4)]),
    (stages.end_to_end(), [(1, 4, 4)]),
  ],
)
def test_stages_add_blocks(schedule, expected):
  assert _shape(schedule, 4) == expected


@pytest.mark.parametrize(('count', 'num_blocks'), [(3, 4), (5, 4)])
def test_stages_that_do_not_come_out_even_are_refused(count, num_blocks):
  with pytest.raises(ValueError, match=f'layers_per_stage={count} must divide the 4 blocks of the encoder'):
    stages.layerwise(layers_per_stage=count).of(num_blocks)


@pytest.mark.parametrize('count', [0, -1, 1.0, True, 'two'])
def test_refuses_no_number_of_layers(count):
  with pytest.raises(ValueError, match='layers_per_stage must be a whole number of at least 1, not'):
    stages.progressive(layers_per_stage=count)


def test_refuses_an_unknown_head():
  with pytest.raises(ValueError, match="head must be one of per_stage, shared, not 'none'"):
    stages.layerwise(head='none')


def _rows(*bytes_by_round):
  first = dict.fromkeys(metrics.COLUMNS) | dict(round=0, upload_bytes_total=0, download_bytes_total=0)
  rows = [first]
  for number, (up, down) in enumerate(bytes_by_round, start=1):
    rows.append(first | dict(round=number, upload_bytes=up, download_bytes=down, download_bytes_frozen=0))
  return rows


def test_each_client_receives_once_what_was_frozen():
  stage_rows = [_rows((1, 10), (1, 10)), _rows((2, 20), (2, 20)), _rows((3, 30), (3, 30))]
  participants = [[['a', 'b'], ['a']], [['a', 'c'], ['a', 'b']], [['b', 'd'], ['c', 'a']]]
  frozen = [frozenset(), {'embedding', 'block_0'}, {'embedding', 'block_0', 'block_1'}]
  needs = [[dict.fromkeys(ids, parts) for ids in rounds] for rounds, parts in zip(participants, frozen, strict=True)]
  joined = stage_metrics.combine(stage_rows, needs, dict(embedding=40, block_0=60, block_1=1000))
  # Stage 2 freezes 100: a and c lack them in its first round, then b. Stage 3 freezes 1,000 more: b lacks those and d
  # all 1,100; in its second round c and a, who both took part in stage 2, lack 1,000 each.
  assert [row['download_bytes_frozen'] for row in joined] == [None, 0, 0, 200, 100, 2100, 2000]
  assert [row['round'] for row in joined] == [0, 1, 2, 3, 4, 5, 6]
  assert [row['stage'] for row in joined] == [1, 1, 1, 2, 2, 3, 3]
  assert [row['download_bytes'] for row in joined[1:]] == [10, 10, 220, 120, 2130, 2030]
  assert [row['download_bytes_total'] for row in joined] == [0, 10, 20, 240, 360, 2490, 4520]
  assert [row['upload_bytes_total'] for row in joined] == [0, 1, 2, 4, 6, 9, 12]


def test_a_client_receives_a_dropped_block_once_it_runs_it():
  needs = [[{'a': frozenset()}], [{'a': {'embedding'}, 'b': {'embedding', 'block_0'}}, {'a': {'embedding', 'block_0'}}]]
  joined = stage_metrics.combine([_rows((1, 10)), _rows((2, 20), (2, 20))], needs, dict(embedding=40, block_0=60))
  # First a lacks the embedding, 40, and b both, 100; then a lacks the block, 60.
  assert [row['download_bytes_frozen'] for row in joined[1:]] == [0, 140, 60]


def test_what_a_stage_has_counted_as_frozen_stays_counted():
  (before, row) = _rows((1, 30))
  (_, joined) = stage_metrics.combine(
    [[before, row | dict(download_bytes_frozen=20)]], [[{'a': {'embedding'}}]], {'embedding': 40}
  )
  assert (joined['download_bytes'], joined['download_bytes_frozen']) == (30 + 40, 20 + 40)


def test_clients_decode_what_is_frozen():
  codec = update_codec.UpdateCodec(codec_lib.Codec([uniform.Uniform(1)]))
  decoded, num_bytes = broadcast.received(codec, [tf.constant([-1.0, 0.2, 1.0])], tf.constant([0, 1], tf.int64))
  # One bit leaves nothing between the ends of the range, which take 8 bytes beside 1 for the bits.
  assert num_bytes == 9 and set(decoded[0].numpy()) == {-1.0, 1.0}


@pytest.mark.parametrize(
  ('codec', 'num_bytes'),
  [
    (update_codec.UpdateCodec(), 4 * (4 + 2)),  # A kernel of 4 values and a bias of 2.
    (update_codec.UpdateCodec(codec_lib.Codec([uniform.Uniform(8)])), 4 + 8 + 2 + 8),  # A byte a value, and two ranges.
    (update_codec.UpdateCodec(codec_lib.Codec([uniform.Uniform(8)]), concatenate=True), 4 + 2 + 8),
  ],
  ids=['identity', 'uniform', 'concat'],
)
def test_what_a_frozen_block_takes_is_its_encoded_payload(codec, num_bytes, tmp_path):
  task = tiny_task.residual_task(1)
  weights = {
    variable.name: np.linspace(-1, 1, variable.size, dtype=np.float32).reshape(variable.shape)
    for variable in task.model.variables
  }
  checkpoint.save(tmp_path, weights, checkpoint.Description('model', 0, 0, b'', image_shape=(2,)), 1)
  plan = types.SimpleNamespace(
    stages=stages.layerwise().of(2),
    keeps_head=True,
    build_task=tiny_task.residual_task,
    download=codec,
    config=types.SimpleNamespace(seed=0),
  )
  start, frozen_bytes = stage_runs._passed_on(plan, plan.stages[0], task, tmp_path)
  assert list(frozen_bytes) == ['block_0']
  assert frozen_bytes['block_0'] == num_bytes
  for name, value in weights.items():
    np.testing.assert_allclose(start.loaded.weights[name], value, atol=0.0 if name == 'head/bias' else 2 / 255)


def test_what_adds_up_over_stages_is_added_up():
  rows = [dict(round=4, upload_bytes_total=30, download_bytes_total=70)]
  first = dict(rounds=2, seconds=3.0, dropped_updates=5, peak_rss_bytes=dict(main=8, worker=9), num_parameters=1)
  last = dict(rounds=2, seconds=4.0, dropped_updates=0, peak_rss_bytes=dict(main=7, worker=None), num_parameters=2)
  assert stage_runs._summary(rows, [first, last]) == dict(
    rounds=4,
    seconds=7.0,
    dropped_updates=5,
    peak_rss_bytes=dict(main=8, worker=9),
    num_parameters=2,
    upload_bytes_total=30,
    download_bytes_total=70,
  )


def test_rows_are_read_back(tmp_path):
  rows = stage_metrics.combine([_rows((1, 10))], [[{'a': frozenset()}]], {})
  stage_metrics.write(rows, tmp_path / 'metrics.csv')
  assert metrics.read(tmp_path / 'metrics.csv') == rows


def test_a_logger_is_told_the_rows_of_all_stages(tmp_path):
  rows, told = stage_metrics.combine([_rows((1, 10))], [[{'a': frozenset()}]], {}), []
  stage_metrics.write(rows, tmp_path / 'metrics.csv')

  @contextlib.contextmanager
  def log_to(output_dir):
    yield told.append
    told.append(output_dir)

  stage_runs.log(run.Config(tmp_path, log_to=log_to))
  assert told == [*rows, tmp_path]


@pytest.mark.parametrize('num_stages', [1, 2, 30])
def test_draws_any_number_of_stages(num_stages, tmp_path):
  stage_rows = [_rows((1_000_000, 2_000_000)) for _ in range(num_stages)]
  for rows in stage_rows:
    rows[0] |= {'eval/loss': 4.0}
    rows[1] |= {'train/loss': 3.5, 'eval/loss': 3.0}
  rows = stage_metrics.combine(stage_rows, [[{'a': {'embedding'}}]] * num_stages, dict(embedding=500_000))
  stage_metrics.write(rows, tmp_path / 'metrics.csv')
  stage_plot.plot(tmp_path / 'metrics.csv', tmp_path / 'stages.png')
  assert (tmp_path / 'stages.png').read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'


def _lesson(encoder, folder, **digits_arguments):
  images = prepare_images.prepare(digits.digits(**digits_arguments), partitions.iid(clients=1), folder)
  return lessons.ImageLesson(encoder, simclr.simclr(), images)


def _accuracy(lesson, weights):
  encode = functools.partial(lesson.features, weights)
  return linear_probe.correct(encode, lesson.arrays('train'), lesson.arrays('heldout')).mean()


def test_a_probe_separates_what_features_separate(tmp_path):
  encoder = vit.vit(width=16, mlp_width=16, num_layers=1, num_heads=1, patch_size=4)
  lesson = _lesson(encoder, tmp_path, classes=[0, 1])
  model = lesson.build_task(1).model
  weights = model.by_name(model.initial_weights(0))
  assert _accuracy(lesson, weights) > 0.95  # Zeros and ones, 16 random features.
  # An encoder that does not look at its image: nothing is better than the larger class.
  blind = weights | {'embedding/patch_kernel': tf.zeros_like(weights['embedding/patch_kernel'])}
  labels = lesson.arrays('heldout')[1]
  assert _accuracy(lesson, blind) <= max(np.mean(labels), 1 - np.mean(labels))


def test_features_are_those_of_the_encoder(tmp_path):
  encoder = vit.vit(width=8, mlp_width=8, num_layers=1, num_heads=1, patch_size=8)
  lesson = _lesson(encoder, tmp_path, classes=[0])
  images, _ = lesson.arrays('train')
  weights = {v.name: np.zeros(v.shape, np.float32) for v in encoder.variables((8, 8, 1))}
  weights['embedding/patch_kernel'][5, 0] = 2.0  # Of the pixel in row 0, column 5.
  held = {name: tf.constant(value) for name, value in weights.items()}
  found = linear_probe.features(functools.partial(lesson.features, held), images)
  # Zero blocks pass on what comes in: 2 times the pixel, scaled to [-1, 1]; the code of place 0 has cosines of 1.
  expected = np.zeros_like(found)
  expected[:, 0] = 2.0 * (images[:, 0, 5, 0] / 127.5 - 1.0)
  expected[:, [2, 3, 6, 7]] = 1.0
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_client_needs_what_its_draws_keep():
  """The draws of training, with seeds by hand: those of the run and round, then the client's, then the purpose, 8."""
  depth_dropout_stages = stages.layerwise(drop_rate=0.5, drop_per='client').of(3)
  lesson_encoder = vit.vit(width=8, mlp_width=8, num_layers=3, num_heads=1, patch_size=4)
  task = self_supervised_task.build(simclr.simclr(), lesson_encoder, (8, 8, 1))
  names = [client_key.derive(name).client_id for name in ('a', 'b', 'c')]
  plan = types.SimpleNamespace(
    population=types.SimpleNamespace(training_ids=sorted(names), clients_per_round=lambda wanted: wanted)
  )
  config = types.SimpleNamespace(draw_seed=5, seed=5, rounds=4, clients_per_round=2)
  needs = stage_runs._needs(plan, depth_dropout_stages[2], task, config)
  fold_in = tf.random.experimental.stateless_fold_in
  for number, needs_of_clients in enumerate(needs, start=1):
    assert len(needs_of_clients) == 2
    for client, parts in needs_of_clients.items():
      seed = fold_in(tf.constant([5, 0], tf.int64), tf.constant(number, tf.int64))
      for value in (client_key.of_id(client), 8):
        seed = fold_in(seed, tf.constant(value, tf.int64))
      kept = tf.random.stateless_uniform([2], seed).numpy() >= 0.5
      assert parts == {'embedding', *(f'block_{index}' for index in (0, 1) if kept[index])}
  assert len({frozenset(parts) for each in needs for parts in each.values()}) > 1
  everything = stage_runs._needs(plan, stages.layerwise().of(3)[2], task, config)
  assert [list(each.values()) for each in everything] == [[{'embedding', 'block_0', 'block_1'}] * 2] * 4
