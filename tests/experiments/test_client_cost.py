"""What a client pays: bytes by hand arithmetic, costs in the order they must have, and the binary as a user runs it."""

import csv
import math
import pathlib

import pytest
import tensorflow as tf

from experiments.command import codec_specs
from experiments.command import spec
from experiments.costs import client_round
from experiments.costs import measured_case
from experiments.results import terminal
from models import catalog as models_catalog
from tests import binaries
from tests import declared_files

_ROOT = pathlib.Path(__file__).parents[2]
_WIDTH, _MLP, _VOCABULARY = 16, 32, 50
_MODEL = f'transformer(width={_WIDTH}, mlp_width={_MLP}, num_layers=2, num_heads=2)'
_BLOCK = 4 * (_WIDTH * _WIDTH + _WIDTH) + 4 * _WIDTH + 2 * _WIDTH * _MLP + _MLP + _WIDTH  # Parameters.
_HEAD = 2 * _WIDTH + _VOCABULARY
_ALL = _VOCABULARY * _WIDTH + 2 * _BLOCK + _HEAD
_BITMAP, _WEIGHT = 5, 4  # Bytes: of 36 variables; of the number of examples.


def _round(policy, upload='identity', model=_MODEL, **changes):
  return client_round.ClientRound(
    measured_case.Case(
      model=model,
      policy=policy,
      upload=upload,
      vocabulary_size=_VOCABULARY,
      sequence_length=6,
      batch_size=4,
      num_steps=2,
      **changes,
    )
  )


def test_a_suffix_costs_what_it_should():
  one = _round('suffix(blocks=1)')
  traffic = one.traffic()
  assert traffic.trained_fraction == pytest.approx((_BLOCK + _HEAD) / _ALL)
  assert traffic.upload_bytes == 4 * (_BLOCK + _HEAD) + _BITMAP + _WEIGHT
  assert traffic.download_bytes == 4 * _ALL
  cost = one.step_cost(traffic)
  full_cost = one.step_cost(traffic._replace(trained=(True,) * len(traffic.trained)))
  assert cost.forward_flops == full_cost.forward_flops
  assert cost.backward_flops < full_cost.backward_flops
  assert cost.activation_bytes < full_cost.activation_bytes


def test_a_random_subset_is_averaged_over_clients():
  traffic = _round('random(fraction=0.4)', model='lstm(width=16, num_cells=8)').traffic()
  parameters = _VOCABULARY * 16 + 2 * 16 * 24 + 24 + 8 * 16 + 16 + _VOCABULARY
  # 32 draws of a table of half of all and three kernels; one draw varies by 0.27.
  assert traffic.trained_fraction == pytest.approx(0.4, abs=0.12)
  assert traffic.upload_bytes == pytest.approx(4 * parameters * traffic.trained_fraction + 1 + _WEIGHT)
  is_drawn = [not isinstance(flag, bool) for flag in traffic.trained]
  assert is_drawn == [True, True, True, False, True, False, False]  # Biases are always trained.
  assert sum(traffic.trained) == pytest.approx(3 + 4 * 0.37, abs=0.7)


def test_concatenated_variables_have_one_range_and_those_never_trained_do_not_travel():
  # Rank 2 beside 6 kernels a block; the head. A byte a value.
  adapters = 2 * (4 * 2 * (2 * _WIDTH) + 2 * 2 * (_WIDTH + _MLP))
  one = _round('lora(rank=2)', upload='concat|uniform(bits=8)')
  bitmap = -(-len(one.task.model.variables) // 8)
  assert one.traffic().upload_bytes == adapters + _HEAD + 8 + bitmap + _WEIGHT


@pytest.mark.parametrize(
  'policy',
  ['random(fraction=0.7)', 'frozen', 'suffix(blocks=1)', 'lora(rank=2)', 'width(fraction=0.5)', 'layerwise(blocks=1)'],
)
def test_concat_costs_no_more_than_variables_one_by_one(policy):
  uploads, model = ('concat|uniform(bits=8)', 'uniform(bits=8)'), _MODEL.replace('num_layers=2', 'num_layers=1')
  together, alone = (_round(policy, upload, model).traffic() for upload in uploads)
  assert alone.upload_bytes - 8 * 40 < together.upload_bytes < alone.upload_bytes  # Ranges of less than 40 variables.


def test_a_sub_model_holds_slices():
  one = _round('width(fraction=0.5)', upload='uniform(bits=8)')
  traffic = one.traffic()
  # One head of two, so half of the columns or rows of four kernels and three biases; half of 32 neurons.
  block = 4 * _WIDTH * _WIDTH // 2 + 3 * _WIDTH // 2 + _WIDTH + 4 * _WIDTH + _WIDTH * _MLP + _MLP // 2 + _WIDTH
  held = _VOCABULARY * _WIDTH + 2 * block + _HEAD
  assert traffic.download_bytes == 4 * held
  assert traffic.upload_bytes == held + 36 * 8 + _BITMAP + _WEIGHT  # A byte a value, and 36 ranges of 8 bytes.
  assert traffic.trained_fraction == pytest.approx(held / _ALL)
  assert one.step_cost(traffic).weight_bytes == 4 * held


def test_the_largest_values_travel_for_much_less_than_with_positions_of_fixed_width():
  variables = models_catalog.LANGUAGE_MODELS['transformer']()(4000).variables
  codec = codec_specs.build('topk(fraction=0.05)|uniform(bits=8)')
  upload_bytes = codec.payload_bytes([tf.TensorSpec(v.shape) for v in variables], [True] * len(variables))
  kept = [max(1, round(0.05 * v.size)) for v in variables]
  # A byte a value, a range of 8, a bit of presence.
  values = sum(kept) + 8 * len(kept) + -(-len(kept) // 8)
  fixed_width = sum(math.ceil(k * (v.size - 1).bit_length() / 8) for k, v in zip(kept, variables, strict=True))
  assert upload_bytes < 0.6 * (values + fixed_width)
  # The entropy of what is kept in 5 % of all cases is 0.2864 bits: 5.73 for each that is kept, and a few bytes a variable.
  assert upload_bytes == pytest.approx(values + 5.73 / 8 * sum(kept), rel=0.05)


def test_adam_at_the_client_holds_two_moments_of_what_is_trained():
  assert _round('suffix(blocks=1)').optimizer_bytes() == 0
  one = _round('suffix(blocks=1)', algorithm='local_adam')
  assert one.optimizer_bytes() == 2 * 4 * (_BLOCK + _HEAD) + 19 * 4  # And the number of the step, of 16 + 3 variables.
  with pytest.raises(spec.SpecError, match="'mime_lite': a client's optimizer state comes from the server"):
    _round('all', algorithm='mime_lite')


def test_what_is_frozen_for_ever_does_not_travel():
  traffic = _round('frozen(blocks=1)').traffic()
  kernels = 4 * _WIDTH * _WIDTH + 2 * _WIDTH * _MLP + 2 * _WIDTH  # And two scales.
  assert traffic.download_bytes == 4 * (_ALL - kernels)
  assert traffic.upload_bytes == 4 * (_ALL - kernels) + _BITMAP + _WEIGHT


def test_a_client_with_images_trains_a_suffix():
  model = 'vit(width=8, mlp_width=16, num_layers=2, num_heads=2)'
  traffic = _round('suffix(blocks=1)', model=model, image_size=8, num_classes=3).traffic()
  # Patches 48 * 8 + 8 = 392; a block 4 * (64 + 8) + 8 * 16 + 16 + 16 * 8 + 8 + 4 * 8 = 600; the head 16 + 8 * 3 + 3 = 43.
  assert traffic.trained_fraction == pytest.approx(643 / (392 + 2 * 600 + 43))
  assert traffic.download_bytes == 4 * (392 + 2 * 600 + 43)
  assert traffic.download_bytes_frozen == 4 * (392 + 600)
  # 643 numbers, a bit for each of 2 + 16 + 16 + 4 variables, and the weight.
  assert traffic.upload_bytes == 4 * 643 + 5 + 4
  with pytest.raises(spec.SpecError, match='patch_size=4 must divide images of 6 x 6 pixels'):
    _round('all', model=model, image_size=6)


_RESNET = 'resnet(width=4, num_layers=2, blocks_per_group=1, norm_groups=2)'


def test_a_client_with_images_trains_the_suffix_of_a_residual_network():
  one = _round('suffix(blocks=1)', model=_RESNET, image_size=6, num_classes=3)
  traffic = one.traffic()
  # Stem 27 * 4 + 8 = 116; blocks 2 * (9 * 16 + 8) = 304 and 9 * 32 + 16 + 9 * 64 + 16 = 896; the head 8 * 3 + 3 = 27.
  assert traffic.trained_fraction == pytest.approx(923 / 1343)
  assert traffic.download_bytes == 4 * 1343
  assert (
    traffic.upload_bytes == 4 * 923 + 3 + 4
  )  # 923 numbers, a bit for each of 3 + 6 + 6 + 2 variables, and the weight.
  cost = one.step_cost(traffic)
  # Of an image: 36 * 27 * 4 = 3,888; 2 * 36 * 36 * 4 = 10,368; 9 * 36 * 8 = 2,592; 9 * 72 * 8 = 5,184; 8 * 3 = 24.
  assert cost.forward_flops == 2 * 4 * (3_888 + 10_368 + 2_592 + 5_184 + 24)
  assert cost.backward_flops == 2 * 4 * (2_592 + 2 * (5_184 + 24))


@pytest.mark.parametrize(
  ('policy', 'message'),
  [
    ('width(fraction=0.5)', 'width needs a model whose variables name their units'),
    ('lora(rank=1)', 'embedding/kernel, the kernel of a convolution'),
    ('adapter(width=1)', 'matches no two-dimensional variable'),
  ],
)
def test_policies_of_other_layers_refuse_a_residual_network(policy, message):
  with pytest.raises(spec.SpecError, match=message):
    _round(policy, model=_RESNET, image_size=6)


def test_refuses_a_codec_that_needs_rounds():
  with pytest.raises(spec.SpecError, match='votes'):
    _round('all', upload='rate_distortion')


def _run(*arguments):
  return binaries.run('experiments.client_cost', arguments)


def test_the_binary_leaves_a_table_a_csv_and_a_picture(tmp_path):
  process = _run(
    f'--model={_MODEL}', '--policies=suffix(blocks=1)', f'--vocabulary_size={_VOCABULARY}', '--sequence_length=6',
    '--batch_size=4', '--num_steps=2', '--repeats=1', f'--output_dir={tmp_path}',
  )  # fmt: skip
  assert process.returncode == 0, process.stderr
  assert declared_files.undeclared(tmp_path, 'client_cost') == []
  with (tmp_path / 'client_cost.csv').open() as file:
    rows = list(csv.DictReader(file))
  (row,) = rows
  assert row['policy'] == 'suffix(blocks=1)'
  assert float(row['upload_bytes']) == 4 * (_BLOCK + _HEAD) + _BITMAP + _WEIGHT
  assert float(row['fixed_mb']) > 1.0  # A graph.
  assert 0.0 < float(row['peak_mb']) < 50.0
  assert float(row['modelled_weights_mb']) == pytest.approx(4e-6 * _ALL)
  table = (tmp_path / 'client_cost.md').read_text()
  assert terminal.text(table, 120) in process.stdout
  assert '| `suffix(blocks=1)` |' in table
  assert (tmp_path / 'client_cost.png').read_bytes()[:4] == b'\x89PNG'


@pytest.mark.parametrize(
  ('arguments', 'expected'),
  [
    (['--policies=all; sufix(blocks=1)'], "unknown trainable 'sufix' (did you mean 'suffix'?)"),
    ([], '--output_dir is missing'),
  ],
)
def test_the_binary_refuses_in_one_line(arguments, expected):
  process = _run(f'--model={_MODEL}', *arguments)
  assert process.returncode == 2
  assert len(process.stderr.splitlines()) == 1, process.stderr
  assert expected in process.stderr


_VIT = 'vit(width=8, mlp_width=16, num_layers=2, num_heads=2, patch_size=2)'


def test_a_stage_of_layer_wise_learning_costs_what_it_should():
  settings = dict(model=_VIT, image_size=4, objective='simclr(width=6, outputs=4)')
  one, dropping = (
    _round(policy, **settings) for policy in ('layerwise(blocks=1)', 'layerwise(blocks=1, drop_rate=0.25)')
  )
  block = 4 * (8 * 8 + 8) + 8 * 16 + 16 + 16 * 8 + 8 + 4 * 8
  head = 2 * 8 + 8 * 6 + 6 + 6 * 4 + 4
  traffic = one.traffic()
  # 2 + 2 * 16 + 6 variables have a bitmap of 5 bytes; what is frozen does not come down.
  assert traffic.upload_bytes == 4 * (block + head) + 5 + _WEIGHT
  assert traffic.download_bytes == 4 * (block + head) and traffic.download_bytes_frozen == 0
  cost, less = one.step_cost(traffic), dropping.step_cost(traffic)
  # A block of 4 patches for 8 views: 32 rows through 4 products of 8 x 8 and two of 8 x 16, and 4 x 4 scores twice.
  block_flops = 2 * (32 * (4 * 64 + 2 * 128) + 2 * 8 * 4 * 4 * 8)
  assert cost.forward_flops - less.forward_flops == pytest.approx(0.25 * block_flops)
  assert less.backward_flops == cost.backward_flops
  chunked = _round('layerwise(blocks=1)', chunk_size=4, **settings)
  assert chunked.traffic() == traffic and chunked.step_cost(traffic) == cost


def test_chunks_need_an_objective():
  done = binaries.run('experiments.client_cost', ['--model=vit', '--chunk_size=4', '--output_dir=/nowhere'])
  assert done.returncode == 2 and '--chunk_size=4 applies with --objective only' in done.stderr
