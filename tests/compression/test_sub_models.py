"""Rounds of sub-models: slices of two layouts meet in one mean, each unit over its own clients, and every byte counts."""

import collections

from absl.testing import parameterized
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from compression import codec as codec_lib
from compression import partial_mean
from compression import partial_sum
from compression import rate_distortion
from compression import slices
from compression import sub_models
from compression import update_codec
from compression.stages import hadamard
from compression.stages import topk
from compression.stages import uniform
from models import model as model_lib


def _variable(name, shape, axis='', position=0, count=0, copies=1):
  units = model_lib.Units(axis, position, count, copies) if axis else None
  return model_lib.Variable(name, shape, model_lib.zeros, units)


_VARIABLES = (
  _variable('embedding/table', (5, 2), 'vocabulary', 0, 5),
  _variable('block_0/gates', (2, 12), 'neurons', 1, 4, copies=3),
  _variable('block_0/output', (6, 3), 'heads', 0, 3),
  _variable('head/bias', (5,), 'vocabulary', 0, 5),
  _variable('head/scale', (2,)),
)
# Values of each variable:              table  gates  output  bias  scale
# whole                                    10     24      18     5      2
# in the first layout, of 41 values         6     12      18     3      2
# in the second layout, of 38 values        4     24       6     2      2
_LAYOUTS = (slices.Layout({'neurons': 2, 'vocabulary': 3}), slices.Layout({'heads': 1, 'vocabulary': 2}))
_DELTA = tff.types.to_type(tuple((np.float32, variable.shape) for variable in _VARIABLES))
_TYPE = partial_mean.update_type(_DELTA, _LAYOUTS)
_ALL, _NONE = [True] * 5, [False] * 5


def _client(layout, units, trained, seed=0):
  """A client's update and, to compare with, its layout's axes and their units."""
  rng = np.random.default_rng(seed)
  largest = dict(heads=1, neurons=2, vocabulary=3)
  return collections.OrderedDict(
    delta=tuple(rng.normal(size=variable.shape).astype(np.float32) for variable in _VARIABLES),
    trained=np.array(trained),
    client_seed=np.array([seed, 1], np.int64),
    shared_seed=np.array([7, 8], np.int64),
    answers=True,
    layout=np.int32(layout),
    # What is beyond the client's own units does not count, be it out of range.
    units=collections.OrderedDict(
      (axis, np.array([*units.get(axis, ()), 9, 9, 9][:count], np.int32)) for axis, count in largest.items()
    ),
  )


_CLIENTS = (
  _client(0, dict(neurons=[3, 1], vocabulary=[0, 2, 4]), _ALL, seed=1),
  _client(1, dict(heads=[2], vocabulary=[2, 3]), _ALL, seed=2),
  _client(0, dict(neurons=[1, 2], vocabulary=[0, 1, 2]), [False, True, True, False, True], seed=3),
  _client(1, dict(heads=[0], vocabulary=[3, 4]), [True, False, True, False, False], seed=4),
  _client(0, dict(neurons=[0, 1], vocabulary=[1, 2, 3]), _NONE, seed=5),
)
_WEIGHTS = (1.0, 2.0, 4.0, 8.0, 16.0)


def _held(client, variable):
  """Where a variable's units are those that a client holds, value by value."""
  units, counts = variable.units, _LAYOUTS[client['layout']].counts
  held = np.ones(variable.shape, bool)
  if units and units.axis in counts:
    elements = variable.shape[units.position] // (units.copies * units.count)
    for index in np.ndindex(*variable.shape):
      held[index] = index[units.position] // elements % units.count in client['units'][units.axis][: counts[units.axis]]
  return held


def _expected(denominator):
  means = []
  for index, variable in enumerate(_VARIABLES):
    total, weights = np.zeros(variable.shape), np.zeros(variable.shape)
    for client, weight in zip(_CLIENTS, _WEIGHTS, strict=True):
      held = _held(client, variable) & client['trained'][index]
      total += weight * np.where(held, client['delta'][index], 0.0)
      weights += weight * held if denominator == 'trained' else weight
    means.append(np.divide(total, weights, out=np.zeros(variable.shape), where=weights > 0))
  return means


def _process(codec=None, variables=_VARIABLES, layouts=_LAYOUTS, **arguments):
  factory = partial_mean.PartialMeanFactory(
    codec or update_codec.UpdateCodec(), variables=variables, layouts=layouts, **arguments
  )
  return factory.create(partial_mean.update_type(_DELTA, layouts), tff.types.to_type(np.float32))


def _of(*stages, **arguments):
  return update_codec.UpdateCodec(codec_lib.Codec(stages), **arguments)


def _run(process, clients=_CLIENTS, weights=_WEIGHTS):
  weights = [np.float32(weight) for weight in weights[: len(clients)]]
  return process.next(process.initialize(), list(clients), weights)


@pytest.mark.usefixtures('worker')
class MeanOfSubModelsTest(parameterized.TestCase):
  @parameterized.product(denominator=['trained', 'all'], concatenate=[False, True])
  def test_means(self, denominator, concatenate):
    process = _process(_of(concatenate=concatenate), denominator=denominator, units_per_key={'vocabulary': 1})
    result = _run(process).result
    for found, expected, variable in zip(result['delta'], _expected(denominator), _VARIABLES, strict=True):
      np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=variable.name)
    np.testing.assert_array_equal(result['trained'], _ALL)

  def test_means_of_codecs_that_rotate(self):
    # The scale alone is decoded after the sum; 16 bits lose less than 1e-3.
    result = _run(_process(_of(hadamard.Hadamard(), uniform.Uniform(16)))).result
    for found, expected in zip(result['delta'], _expected('trained'), strict=True):
      np.testing.assert_allclose(found, expected, atol=1e-3)

  def test_units_and_variables_that_nobody_trained_are_zero(self):
    result = _run(_process(), _CLIENTS[3:]).result
    np.testing.assert_array_equal(result['trained'], [True, False, True, False, False])
    np.testing.assert_array_equal(result['delta'][0][:3], np.zeros([3, 2]))  # The client holds tokens 3 and 4.
    self.assertTrue(np.all(result['delta'][0][3:] != 0))
    # Of the table, the gates, the output and the head's bias: tokens, neurons, heads, tokens.
    held = ([False] * 3 + [True] * 2, [False] * 4, [True, False, False], [False] * 5)
    for found, expected in zip(result['units'], held, strict=True):
      np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(result['delta'][2][2:], np.zeros([4, 3]))  # And head 0, of two rows.
    for index in (1, 3, 4):
      np.testing.assert_array_equal(result['delta'][index], np.zeros(_VARIABLES[index].shape))

  def test_no_clients(self):
    output = _run(_process(denominator='all'), [])
    self.assertEqual(output.measurements['upload_bytes'], 0)
    np.testing.assert_array_equal(output.result['trained'], _NONE)
    self.assertFalse(any(np.any(units) for units in output.result['units']))

  @parameterized.product(measure_distortion=[False, True], concatenate=[False, True])
  def test_counts_slices(self, measure_distortion, concatenate):
    # With distortion, payloads are decoded in the graph that counts them, the harder case.
    codec = _of(uniform.Uniform(8), concatenate=concatenate)
    process = _process(codec, measure_distortion=measure_distortion)
    measured = [_run(process, [client]).measurements for client in _CLIENTS]
    # A byte a value. Concatenated, what is not trained travels as zeros beside what is.
    values = [41, 38, 41, 38, 0] if concatenate else [41, 38, 12 + 18 + 2, 4 + 6, 0]
    # The range of each payload, 8 bytes; of presence bits and layout, 1 each; no units, which all know from the round.
    side = [8 + 2, 8 + 2, 8 + 2, 8 + 2, 2] if concatenate else [40 + 2, 40 + 2, 24 + 2, 16 + 2, 2]
    self.assertEqual([each['upload_bytes_values'] for each in measured], values)
    self.assertEqual([each['upload_bytes_side'] for each in measured], side)
    together = _run(process).measurements
    self.assertEqual(together['upload_bytes'], sum(values) + sum(side) + 5 * 4)
    self.assertEqual(together['upload_bytes_per_client_max'], 41 + side[0] + 4)

  @parameterized.parameters(False, True)
  def test_counts_units_that_clients_choose_unless_they_train_nothing_of_theirs(self, measure_distortion):
    process = _process(units_per_key={'heads': 1, 'vocabulary': 1}, measure_distortion=measure_distortion)
    side = [_run(process, [client]).measurements['upload_bytes_side'] for client in _CLIENTS]
    # Of presence bits and layout, 1 each. 2 or 3 tokens of 5, a bit for each of these: a byte. 1 head of 3: a byte.
    # The third client trains nothing that is of tokens.
    self.assertEqual(side, [2 + 1, 2 + 1 + 1, 2, 2 + 1 + 1, 2])
    self.assertEqual(_run(process).measurements['upload_bytes_side'], 15)

  def test_one_layout_needs_no_number(self):
    layouts = _LAYOUTS[:1]
    process = _process(layouts=layouts)
    clients = [collections.OrderedDict(client) for client in _CLIENTS if client['layout'] == 0]
    for client in clients:
      client['units'] = collections.OrderedDict((axis, client['units'][axis]) for axis in ('neurons', 'vocabulary'))
    output = _run(process, clients)
    self.assertEqual(output.measurements['upload_bytes_side'], 3)  # 3 clients x 1 byte of presence bits.
    self.assertEqual(output.measurements['upload_bytes_values'], 4 * (41 + 32))

  def test_layouts_that_hold_everything_are_as_none(self):
    process = _process(layouts=(slices.WHOLE, slices.WHOLE))
    plain = partial_mean.PartialMeanFactory(update_codec.UpdateCodec())
    plain = plain.create(partial_mean.update_type(_DELTA), tff.types.to_type(np.float32))
    self.assertEqual(process.next.type_signature, plain.next.type_signature)

  def test_small_is_what_is_small_as_a_whole(self):
    # The table is of 10 values and of 4 in a slice; the bias of 5 and the scale of 2 are small.
    codec = _of(uniform.Uniform(8), small_size=6)
    measured = [_run(_process(codec), [client]).measurements['upload_bytes_values'] for client in _CLIENTS[:2]]
    self.assertEqual(measured, [6 + 12 + 18 + 4 * (3 + 2), 4 + 24 + 6 + 4 * (2 + 2)])

  def test_distortion_is_of_what_was_sent(self):
    # Half of the values of each slice are lost, whatever lies outside; all are 1 within.
    client = _client(1, dict(heads=[1], vocabulary=[0, 4]), [True, True, True, True, False])
    ones = [np.where(_held(client, variable), 1.0, 100.0).astype(np.float32) for variable in _VARIABLES]
    client['delta'] = tuple(ones)
    output = _run(_process(_of(topk.Topk(0.5)), measure_distortion=True), [client])
    self.assertAlmostEqual(output.measurements['upload_distortion'], 0.5, places=6)

  def test_codecs_that_adapt(self):
    process = _process(rate_distortion.RateDistortion(initial_step=1e-3), measure_distortion=True)
    output = _run(process)
    self.assertGreater(output.state, 1e-3)  # The step is far too fine for so few values.
    self.assertBetween(output.measurements['upload_distortion'], 1e-9, 1e-6)
    for found, expected in zip(output.result['delta'], _expected('trained'), strict=True):
      np.testing.assert_allclose(found, expected, atol=2e-3)


class SubModelsTest(parameterized.TestCase):
  def test_update_type(self):
    self.assertEqual(str(_TYPE['units']), '<heads=int32[1],neurons=int32[2],vocabulary=int32[3]>')
    self.assertEqual(str(_TYPE['layout']), 'int32')
    self.assertEqual(_TYPE['delta'], _DELTA)

  @parameterized.named_parameters(
    ('no_variables', dict(variables=None), 'need variables'),
    ('no_such_axis', dict(layouts=[slices.Layout({'rank': 1})]), 'axis .rank.'),
    ('too_many_units', dict(layouts=[slices.Layout({'heads': 4})]), 'axis .heads.'),
    ('axis_that_is_whole', dict(units_per_key={'rank': 1}), 'rank, of which no layout holds a part'),
    ('denominator', dict(denominator='some'), 'trained, all'),
    ('no_layouts', dict(layouts=[]), '1 to 256 layouts'),
    ('other_variables', dict(variables=[*_VARIABLES[:4], _variable('head/scale', (3,))]), 'not of variables of shapes'),
  )
  def test_refuses(self, arguments, message):
    with self.assertRaisesRegex(ValueError, message):
      _process(**arguments)

  def test_packs_units(self):
    models = sub_models.SubModels(_VARIABLES, _LAYOUTS, {'vocabulary': 1})
    indices = dict(neurons=tf.constant([3, 1]), vocabulary=tf.constant([0, 2, 4]))
    keys = models.pack(_LAYOUTS[0], indices, tf.constant(_ALL))
    self.assertEqual(list(keys), ['vocabulary'])
    np.testing.assert_array_equal(keys['vocabulary'], [1 + 4 + 16])  # Bits 0, 2 and 4 of five.
    units = dict(heads=tf.constant([9]), **indices)
    claimed = models.claimed(_LAYOUTS[0], models.claim(tf.constant(0), keys, units))
    np.testing.assert_array_equal(claimed['vocabulary'], [0, 2, 4])
    np.testing.assert_array_equal(claimed['neurons'], [3, 1])

  def test_packs_keys_of_several_units(self):
    models = sub_models.SubModels(_VARIABLES, [slices.Layout({'neurons': 2})], {'neurons': 2})
    layout, indices = models.layouts[0], dict(neurons=tf.constant([2, 3]))
    keys = models.pack(layout, indices, tf.constant(_ALL))
    np.testing.assert_array_equal(keys['neurons'], [2])  # Key 1 of 2 stands for units 2 and 3: bit 1.
    claimed = models.claimed(layout, models.claim(tf.constant(0), keys, indices))
    np.testing.assert_array_equal(claimed['neurons'], [2, 3])

  def test_keys_that_do_not_ascend_are_refused(self):
    models = sub_models.SubModels(_VARIABLES, _LAYOUTS, {'vocabulary': 1})
    indices = dict(neurons=tf.constant([3, 1]), vocabulary=tf.constant([4, 0, 2]))
    with self.assertRaisesRegex(tf.errors.InvalidArgumentError, r'positions must ascend within \[0, 5\)'):
      models.pack(_LAYOUTS[0], indices, tf.constant(_ALL))

  def test_keys_that_do_not_divide_what_clients_hold_are_refused(self):
    with self.assertRaisesRegex(ValueError, r"keys of 2 units of axis 'neurons' do not divide \[3, 4\]"):
      sub_models.SubModels(_VARIABLES, [slices.Layout({'neurons': 3})], {'neurons': 2})

  def test_refuses_what_no_client_can_hold(self):
    models = sub_models.SubModels(_VARIABLES, _LAYOUTS)
    for vocabulary, message in (
      ([1, 1, 2], 'axis vocabulary twice'),
      ([1, 5, 2], r'axis vocabulary must lie in \[0, 5\)'),
    ):
      with self.assertRaisesRegex(tf.errors.InvalidArgumentError, message):
        models.held(_LAYOUTS[0], dict(neurons=tf.constant([0, 1]), vocabulary=tf.constant(vocabulary)))
    with self.assertRaisesRegex(tf.errors.InvalidArgumentError, 'no such layout'):
      models.switch(tf.constant(2), lambda layout: tf.constant(len(layout.counts)))

  def test_whole_variables_are_summed_before_they_are_decoded(self):
    codec = _of(topk.Topk(0.5), sizes=tuple(variable.size for variable in _VARIABLES))
    zero = partial_sum.PartialSum(sub_models.SubModels(_VARIABLES, _LAYOUTS), codec).zero()
    self.assertEqual([tensor.shape for tensor in zero['sums']], [variable.shape for variable in _VARIABLES[:4]])
    self.assertEqual([tensor.shape for tensor in zero['terms']], [[2]])
    together = _of(concatenate=True, sizes=codec.sizes)
    zero = partial_sum.PartialSum(sub_models.SubModels(_VARIABLES, _LAYOUTS), together).zero()
    self.assertEqual((len(zero['sums']), len(zero['terms'])), (5, 0))

  def test_a_variable_that_a_client_did_not_train_keeps_out_its_noise(self):
    # Beside the table, the bias travels as zeros, which two levels from -1 to 1 turn into ones.
    models = sub_models.SubModels(_VARIABLES, _LAYOUTS)
    codec = _of(uniform.Uniform(1), concatenate=True, sizes=tuple(variable.size for variable in _VARIABLES))
    shapes = [_LAYOUTS[1].spec(variable).shape for variable in _VARIABLES]
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
