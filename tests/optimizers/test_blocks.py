"""Models of some blocks: what is taken comes back to where it was, and blocks that differ are refused."""

import numpy as np
import pytest
import tensorflow as tf

from models import model as model_lib
from optimizers import blocks as blocks_lib
from optimizers import policies
from tests import tiny_language

_MODEL = tiny_language.task(num_layers=3).model
_WEIGHTS = tuple(tf.fill(v.shape, float(index + 1)) for index, v in enumerate(_MODEL.variables))


def _block(index):
  return [i for i, variable in enumerate(_MODEL.variables) if variable.block == f'block_{index}']


def _model(*names_and_shapes):
  return model_lib.Model(
    tuple(model_lib.Variable(name, shape, model_lib.zeros) for name, shape in names_and_shapes),
    lambda weights, inputs, seed: inputs,
  )


def test_the_chosen_blocks_in_their_order():
  blocks, chosen = blocks_lib.Blocks(_MODEL), tf.constant([0, 2])
  taken = blocks.take(_WEIGHTS, chosen)
  model = blocks.first(2)
  assert [variable.shape for variable in model.variables] == [tuple(each.shape) for each in taken]
  outside = [i for i, variable in enumerate(_MODEL.variables) if not variable.block.startswith('block_')]
  expected = [outside[0], *_block(0), *_block(2), *outside[1:]]  # The embedding, two blocks, the head.
  assert [int(np.unique(each)) for each in taken] == [index + 1 for index in expected]


@pytest.mark.parametrize('chosen', [[1], [0, 2], [0, 1, 2]])
def test_put_inverts_take_but_for_what_was_not_chosen(chosen):
  blocks = blocks_lib.Blocks(_MODEL)
  put = blocks.put(blocks.take(_WEIGHTS, tf.constant(chosen)), tf.constant(chosen))
  gone = {index for block in range(3) if block not in chosen for index in _block(block)}
  for index, (one, two) in enumerate(zip(put, _WEIGHTS, strict=True)):
    np.testing.assert_array_equal(one, tf.zeros_like(two) if index in gone else two)


def test_flags_that_all_blocks_share_stay_known():
  flags = policies.Bias().choose(_MODEL, None)
  taken = blocks_lib.Blocks(_MODEL).take_flags(flags, tf.constant([0, 2]))
  assert all(type(flag) is bool for flag in taken)
  names = [variable.name for variable in blocks_lib.Blocks(_MODEL).first(2).variables]
  assert [name.endswith('bias') for name in names] == list(taken)


def test_flags_that_differ_follow_their_block():
  blocks, flags = blocks_lib.Blocks(_MODEL), policies.Suffix(1).choose(_MODEL, None)
  for chosen, trained in (([0, 2], {'block_1', 'head'}), ([0, 1], {'head'}), ([2], {'block_0', 'head'})):
    taken = blocks.take_flags(flags, tf.constant(chosen))
    variables = blocks.first(len(chosen)).variables
    assert {v.block for v, flag in zip(variables, taken, strict=True) if flag} == trained


def test_only_what_was_chosen_keeps_its_flag():
  flags = blocks_lib.Blocks(_MODEL).only_chosen([True] * len(_MODEL.variables), tf.constant([0, 2]))
  blocks = {variable.block for variable, flag in zip(_MODEL.variables, flags, strict=True) if flag}
  assert blocks == {'embedding', 'block_0', 'block_2', 'head'}


@pytest.mark.parametrize(
  'model',
  [
    pytest.param(_model(('block_0/kernel', (2, 3)), ('block_1/kernel', (2, 4))), id='shapes'),
    pytest.param(_model(('block_0/kernel', (2, 3)), ('block_1/matrix', (2, 3))), id='names'),
    pytest.param(_model(('block_0/kernel', (2,)), ('block_1/kernel', (2,)), ('block_1/bias', (2,))), id='one_more'),
  ],
)
def test_blocks_that_differ_are_refused(model):
  with pytest.raises(ValueError, match=r'^blocks can be chosen only where all have .* the same names and shapes$'):
    blocks_lib.Blocks(model)


def test_adapters_belong_to_their_blocks():
  blocks = blocks_lib.Blocks(policies.Lora(rank=2, on='query_kernel').adapt(_MODEL))
  names = {variable.name for variable in blocks.first(1).variables if '_lora_' in variable.name}
  assert names == {f'block_0/attention/query_kernel_lora_{end}' for end in 'ab'}
