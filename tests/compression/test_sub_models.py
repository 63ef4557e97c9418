"""Rounds of sub-models: slices of two layouts meet in one mean, each unit over its own clients, and every byte counts."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from compression import codec as codec_lib
from compression import partial_mean
from compression import partial_sum
from compression import rate_distortion
from compression import sent_update
from compression import slices
from compression import sub_models
from compression import update_codec
from compression.stages import hadamard
from compression.stages import topk
from compression.stages import uniform
from tests.compression import two_layouts

_DELTA = tff.types.to_type(tuple((np.float32, variable.shape) for variable in two_layouts.VARIABLES))
_TYPE = sent_update.update_type(_DELTA, two_layouts.LAYOUTS)


def _process(codec=None, variables=two_layouts.VARIABLES, layouts=two_layouts.LAYOUTS, **arguments):
  factory = partial_mean.PartialMeanFactory(
    codec or update_codec.UpdateCodec(), variables=variables, layouts=layouts, **arguments
  )
  return factory.create(sent_update.update_type(_DELTA, layouts), tff.types.to_type(np.float32))


def _of(*stages, **arguments):
  return update_codec.UpdateCodec(codec_lib.Codec(stages), **arguments)


def _run(process, clients=two_layouts.CLIENTS, weights=two_layouts.WEIGHTS):
  weights = [np.float32(weight) for weight in weights[: len(clients)]]
  return process.next(process.initialize(), list(clients), weights)


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize('denominator', ['trained', 'all'])
@pytest.mark.parametrize('concatenate', [False, True])
def test_mean_of_sub_models_means(denominator, concatenate):
  process = _process(_of(concatenate=concatenate), denominator=denominator, units_per_key={'vocabulary': 1})
  result = _run(process).result
  for found, expected, variable in zip(
    result['delta'], two_layouts.expected_means(denominator), two_layouts.VARIABLES, strict=True
  ):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=variable.name)
  np.testing.assert_array_equal(result['trained'], two_layouts.ALL)


@pytest.mark.usefixtures('worker')
def test_means_of_codecs_that_rotate():
  # The scale alone is decoded after the sum; 16 bits lose less than 1e-3.
  result = _run(_process(_of(hadamard.Hadamard(), uniform.Uniform(16)))).result
  for found, expected in zip(result['delta'], two_layouts.expected_means('trained'), strict=True):
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.usefixtures('worker')
def test_units_and_variables_that_nobody_trained_are_zero():
  result = _run(_process(), two_layouts.CLIENTS[3:]).result
  np.testing.assert_array_equal(result['trained'], [True, False, True, False, False])
  np.testing.assert_array_equal(result['delta'][0][:3], np.zeros([3, 2]))  # The client holds tokens 3 and 4.
  assert np.all(result['delta'][0][3:] != 0)
  # Of the table, the gates, the output and the head's bias: tokens, neurons, heads, tokens.
  held = ([False] * 3 + [True] * 2, [False] * 4, [True, False, False], [False] * 5)
  for found, expected in zip(result['units'], held, strict=True):
    np.testing.assert_array_equal(found, expected)
  np.testing.assert_array_equal(result['delta'][2][2:], np.zeros([4, 3]))  # And head 0, of two rows.
  for index in (1, 3, 4):
    np.testing.assert_array_equal(result['delta'][index], np.zeros(two_layouts.VARIABLES[index].shape))


@pytest.mark.usefixtures('worker')
def test_mean_of_sub_models_no_clients():
  output = _run(_process(denominator='all'), [])
  assert output.measurements['upload_bytes'] == 0
  np.testing.assert_array_equal(output.result['trained'], two_layouts.NONE)
  assert not any(np.any(units) for units in output.result['units'])


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize('measure_distortion', [False, True])
@pytest.mark.parametrize('concatenate', [False, True])
def test_mean_of_sub_models_counts_slices(measure_distortion, concatenate):
  # With distortion, payloads are decoded in the graph that counts them, the harder case.
  codec = _of(uniform.Uniform(8), concatenate=concatenate)
  process = _process(codec, measure_distortion=measure_distortion)
  measured = [_run(process, [client]).measurements for client in two_layouts.CLIENTS]
  # A byte a value. Concatenated, what is not trained travels as zeros beside what is.
  values = [41, 38, 41, 38, 0] if concatenate else [41, 38, 12 + 18 + 2, 4 + 6, 0]
  # The range of each payload, 8 bytes; of presence bits and layout, 1 each; no units, which all know from the round.
  side = [8 + 2, 8 + 2, 8 + 2, 8 + 2, 2] if concatenate else [40 + 2, 40 + 2, 24 + 2, 16 + 2, 2]
  assert [each['upload_bytes_values'] for each in measured] == values
  assert [each['upload_bytes_side'] for each in measured] == side
  together = _run(process).measurements
  assert together['upload_bytes'] == sum(values) + sum(side) + 5 * 4
  assert together['upload_bytes_per_client_max'] == 41 + side[0] + 4


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize('measure_distortion', [False, True])
def test_mean_of_sub_models_counts_units_that_clients_choose_unless_they_train_nothing_of_theirs(measure_distortion):
  process = _process(units_per_key={'heads': 1, 'vocabulary': 1}, measure_distortion=measure_distortion)
  side = [_run(process, [client]).measurements['upload_bytes_side'] for client in two_layouts.CLIENTS]
  # Of presence bits and layout, 1 each. 2 or 3 tokens of 5, a bit for each of these: a byte. 1 head of 3: a byte.
  # The third client trains nothing that is of tokens.
  assert side == [2 + 1, 2 + 1 + 1, 2, 2 + 1 + 1, 2]
  assert _run(process).measurements['upload_bytes_side'] == 15


@pytest.mark.usefixtures('worker')
def test_one_layout_needs_no_number():
  layouts = two_layouts.LAYOUTS[:1]
  process = _process(layouts=layouts)
  clients = [collections.OrderedDict(client) for client in two_layouts.CLIENTS if client['layout'] == 0]
  for client in clients:
    client['units'] = collections.OrderedDict((axis, client['units'][axis]) for axis in ('neurons', 'vocabulary'))
  output = _run(process, clients)
  assert output.measurements['upload_bytes_side'] == 3  # 3 clients x 1 byte of presence bits.
  assert output.measurements['upload_bytes_values'] == 4 * (41 + 32)


@pytest.mark.usefixtures('worker')
def test_layouts_that_hold_everything_are_as_none():
  process = _process(layouts=(slices.WHOLE, slices.WHOLE))
  plain = partial_mean.PartialMeanFactory(update_codec.UpdateCodec())
  plain = plain.create(sent_update.update_type(_DELTA), tff.types.to_type(np.float32))
  assert process.next.type_signature == plain.next.type_signature


@pytest.mark.usefixtures('worker')
def test_small_is_what_is_small_as_a_whole():
  # The table is of 10 values and of 4 in a slice; the bias of 5 and the scale of 2 are small.
  codec = _of(uniform.Uniform(8), small_size=6)
  measured = [_run(_process(codec), [client]).measurements['upload_bytes_values'] for client in two_layouts.CLIENTS[:2]]
  assert measured == [6 + 12 + 18 + 4 * (3 + 2), 4 + 24 + 6 + 4 * (2 + 2)]


@pytest.mark.usefixtures('worker')
def test_distortion_is_of_what_was_sent():
  # Half of the values of each slice are lost, whatever lies outside; all are 1 within.
  client = two_layouts.make_client(1, dict(heads=[1], vocabulary=[0, 4]), [True, True, True, True, False])
  ones = [
    np.where(two_layouts.held_values(client, variable), 1.0, 100.0).astype(np.float32)
    for variable in two_layouts.VARIABLES
  ]
  client['delta'] = tuple(ones)
  output = _run(_process(_of(topk.Topk(0.5)), measure_distortion=True), [client])
  assert output.measurements['upload_distortion'] == pytest.approx(0.5, abs=5e-7)


@pytest.mark.usefixtures('worker')
def test_codecs_that_adapt():
  process = _process(rate_distortion.RateDistortion(initial_step=1e-3), measure_distortion=True)
  output = _run(process)
  assert output.state > 1e-3  # The step is far too fine for so few values.
  assert 1e-9 <= output.measurements['upload_distortion'] <= 1e-6
  for found, expected in zip(output.result['delta'], two_layouts.expected_means('trained'), strict=True):
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_sub_models_update_type():
  assert str(_TYPE['units']) == '<heads=int32[1],neurons=int32[2],vocabulary=int32[3]>'
  assert str(_TYPE['layout']) == 'int32'
  assert _TYPE['delta'] == _DELTA


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    pytest.param(dict(variables=None), 'need variables', id='no_variables'),
    pytest.param(dict(layouts=[slices.Layout({'rank': 1})]), 'axis .rank.', id='no_such_axis'),
    pytest.param(dict(layouts=[slices.Layout({'heads': 4})]), 'axis .heads.', id='too_many_units'),
    pytest.param(dict(units_per_key={'rank': 1}), 'rank, of which no layout holds a part', id='axis_that_is_whole'),
    pytest.param(dict(denominator='some'), 'trained, all', id='denominator'),
    pytest.param(dict(layouts=[]), '1 to 256 layouts', id='no_layouts'),
    pytest.param(
      dict(variables=[*two_layouts.VARIABLES[:4], two_layouts.make_variable('head/scale', (3,))]),
      'not of variables of shapes',
      id='other_variables',
    ),
  ],
)
def test_sub_models_refuses(arguments, message):
  with pytest.raises(ValueError, match=message):
    _process(**arguments)


def test_sub_models_packs_units():
  models = sub_models.SubModels(two_layouts.VARIABLES, two_layouts.LAYOUTS, {'vocabulary': 1})
  indices = dict(neurons=tf.constant([3, 1]), vocabulary=tf.constant([0, 2, 4]))
  keys = models.pack(two_layouts.LAYOUTS[0], indices, tf.constant(two_layouts.ALL))
  assert list(keys) == ['vocabulary']
  np.testing.assert_array_equal(keys['vocabulary'], [1 + 4 + 16])  # Bits 0, 2 and 4 of five.
  units = dict(heads=tf.constant([9]), **indices)
  claimed = models.claimed(two_layouts.LAYOUTS[0], models.claim(tf.constant(0), keys, units))
  np.testing.assert_array_equal(claimed['vocabulary'], [0, 2, 4])
  np.testing.assert_array_equal(claimed['neurons'], [3, 1])


def test_packs_keys_of_several_units():
  models = sub_models.SubModels(two_layouts.VARIABLES, [slices.Layout({'neurons': 2})], {'neurons': 2})
  layout, indices = models.layouts[0], dict(neurons=tf.constant([2, 3]))
  keys = models.pack(layout, indices, tf.constant(two_layouts.ALL))
  np.testing.assert_array_equal(keys['neurons'], [2])  # Key 1 of 2 stands for units 2 and 3: bit 1.
  claimed = models.claimed(layout, models.claim(tf.constant(0), keys, indices))
  np.testing.assert_array_equal(claimed['neurons'], [2, 3])


def test_keys_that_do_not_ascend_are_refused():
  models = sub_models.SubModels(two_layouts.VARIABLES, two_layouts.LAYOUTS, {'vocabulary': 1})
  indices = dict(neurons=tf.constant([3, 1]), vocabulary=tf.constant([4, 0, 2]))
  with pytest.raises(tf.errors.InvalidArgumentError, match=r'positions must ascend within \[0, 5\)'):
    models.pack(two_layouts.LAYOUTS[0], indices, tf.constant(two_layouts.ALL))


def test_keys_that_do_not_divide_what_clients_hold_are_refused():
  with pytest.raises(ValueError, match=r"keys of 2 units of axis 'neurons' do not divide \[3, 4\]"):
    sub_models.SubModels(two_layouts.VARIABLES, [slices.Layout({'neurons': 3})], {'neurons': 2})


def test_sub_models_refuses_what_no_client_can_hold():
  models = sub_models.SubModels(two_layouts.VARIABLES, two_layouts.LAYOUTS)
  for vocabulary, message in (
    ([1, 1, 2], 'axis vocabulary twice'),
    ([1, 5, 2], r'axis vocabulary must lie in \[0, 5\)'),
  ):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
      models.held(two_layouts.LAYOUTS[0], dict(neurons=tf.constant([0, 1]), vocabulary=tf.constant(vocabulary)))
  with pytest.raises(tf.errors.InvalidArgumentError, match='no such layout'):
    models.switch(tf.constant(2), lambda layout: tf.constant(len(layout.counts)))


def test_whole_variables_are_summed_before_they_are_decoded():
  codec = _of(topk.Topk(0.5), sizes=tuple(variable.size for variable in two_layouts.VARIABLES))
  zero = partial_sum.PartialSum(sub_models.SubModels(two_layouts.VARIABLES, two_layouts.LAYOUTS), codec).zero()
  assert [tensor.shape for tensor in zero['sums']] == [variable.shape for variable in two_layouts.VARIABLES[:4]]
  assert [tensor.shape for tensor in zero['terms']] == [[2]]
  together = _of(concatenate=True, sizes=codec.sizes)
  zero = partial_sum.PartialSum(sub_models.SubModels(two_layouts.VARIABLES, two_layouts.LAYOUTS), together).zero()
  assert (len(zero['sums']), len(zero['terms'])) == (5, 0)


def test_a_variable_that_a_client_did_not_train_keeps_out_its_noise():
  # Beside the table, the bias travels as zeros, which two levels from -1 to 1 turn into ones.
  models = sub_models.SubModels(two_layouts.VARIABLES, two_layouts.LAYOUTS)
  codec = _of(uniform.Uniform(1), concatenate=True, sizes=tuple(variable.size for variable in two_layouts.VARIABLES))
  shapes = [two_layouts.LAYOUTS[1].spec(variable).shape for variable in two_layouts.VARIABLES]
  tensors = [tf.reshape(tf.linspace(-1.0, 1.0, shape.num_elements()), shape) for shape in shapes]
  present, seed = tf.constant([True, False, False, False, False]), tf.constant([1, 2], tf.int64)
  sent = codec.encode(tensors, present, seed, seed)
  units = dict(heads=tf.constant([2]), neurons=tf.constant([9, 9]), vocabulary=tf.constant([1, 3, 9]))
  claim = models.claim(tf.constant(1), {}, units)
  total = partial_sum.PartialSum(models, codec)
  added, held = total.add(total.zero(), sent, claim, tf.constant(2.0), seed)
  tensors = total.finish(added, seed)
  np.testing.assert_array_equal(np.abs(tensors[0]), [[0, 0], [2, 2], [0, 0], [2, 2], [0, 0]])
  for tensor in tensors[1:]:
    np.testing.assert_array_equal(tensor, np.zeros(tensor.shape))
  np.testing.assert_array_equal(held['vocabulary'], [0, 1, 0, 1, 0])
  np.testing.assert_array_equal(held['neurons'], [1, 1, 1, 1])
