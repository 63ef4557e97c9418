"""What a client leaves out leaves no trace: for every codec of the catalogue, alone and concatenated."""

import collections
import functools
import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from compression import catalog
from compression import groups
from compression import partial_mean
from compression import sent_update
from compression import update_codec
from experiments.command import codec_specs
from tests.compression import conformance

_SHAPES = ((12, 8), (40,), (), (30,))
_SPECS = [tf.TensorSpec(shape) for shape in _SHAPES]
_ALL = (True, True, True, True)
_WEIGHTS = (1.0, 9.0)
_SHARED = tf.constant([5, 6], tf.int64)

_CODECS = (
  'identity', 'bfloat16', 'float16', 'clip', 'uniform(bits=2)', 'terngrad', 'qsgd', 'sign', 'three_lc', 'hadamard',
  'hadamard|uniform(bits=4)', 'drive', 'eden(bits=1)', 'topk(fraction=0.2)', 'topk(fraction=0.2)|uniform(bits=8)',
  'randk(fraction=0.25)', 'uniform(bits=4)|elias_gamma', 'uniform(bits=4)|rans',
  'tensor_encoding(name="uniform", bits=8)', 'rate_distortion(initial_step=0.3)',
)  # fmt: skip
# Whether variables are concatenated, and by which numbers they travel together. One client sends all that ever travels, one
# leaves out what is not of set 0.
_CASES = {'alone': (False, None), 'concat': (True, None), 'concat, sets': (True, (0, 1, 0, groups.NEVER))}
_ALONE = ('uniform(bits=2)', 'sign', 'hadamard|uniform(bits=4)', 'drive', 'uniform(bits=4)|rans')  # Nothing to mix.


def _codec(text, concatenate, together=None):
  """Returns the codec of an update; one that adapts has its first parameter, and concatenates by itself."""
  if text.startswith('rate_distortion'):
    adaptive = codec_specs.build(text)
    codec = adaptive.at(tf.constant(adaptive.initial_parameter))
  else:
    codec = codec_specs.build(f'concat|{text}' if concatenate else text)
  return update_codec.UpdateCodec(codec.codec, concatenate=concatenate, together=together)


def _tensors(client):
  """Values of the second client are 1,000 times those of the first: what it does not send must not show."""
  values = [conformance.normal(shape, 10 * client + index) for index, shape in enumerate(_SHAPES)]
  return [tf.constant(value * 1000.0**client, tf.float32) for value in values]


def _oracle(codec, sent, present):
  """Decodes each payload by its codec alone, and keeps what is present."""
  decoded = [np.zeros(shape, np.float32) for shape in _SHAPES]
  for group, payload in zip(codec.groups(_SPECS), sent.payloads, strict=True):
    if not any(present[index] for index in group.members):
      continue
    values = np.ravel(group.codec.decode(payload, group.spec, _SHARED))
    for index in group.members:
      size = int(np.prod(_SHAPES[index]))
      part, values = values[:size], values[size:]
      if present[index]:
        decoded[index] = part.reshape(_SHAPES[index])
  return decoded


def test_all_codecs_of_the_catalogue_are_here():
  names = {name for text in _CODECS for name in re.sub(r'\(.*?\)', '', text).split('|')}
  assert {*catalog.STAGES, *catalog.WRAPPED, *catalog.ADAPTIVE} - names == set()


def _graphs(codec):
  """Returns graphs from terms, values, presence, a client's seed and weight to what travels and new terms, and of `finish`."""

  @tf.function(autograph=False)
  def add(terms, tensors, present, client_seed, weight):
    sent = codec.encode(tensors, present, client_seed, _SHARED)
    return sent, codec.add(terms, sent, weight, _SPECS, _SHARED)

  return add, tf.function(lambda terms: codec.finish(terms, _SPECS, _SHARED), autograph=False)


@pytest.mark.parametrize(
  ('text', 'case'), [(text, case) for text in _CODECS for case in _CASES if case != 'alone' or text in _ALONE]
)
def test_a_mean_is_over_those_who_trained_the_variable(text, case):
  concatenate, together = _CASES[case]
  codec = _codec(text, concatenate, together)
  terms, expected = codec.zero_terms(_SPECS), [np.zeros(shape) for shape in _SHAPES]
  add, finish = _graphs(codec)
  rounding = np.zeros(len(_SHAPES))  # Of what the clients that have a variable add to it, in their own scale.
  clients = ((True, True, True, together is None), (True, False, True, False))
  for client, (present, weight) in enumerate(zip(clients, _WEIGHTS, strict=True)):
    update = _tensors(client), tf.constant(present), tf.constant([client, 1], tf.int64)
    sent, of_one = add(codec.zero_terms(_SPECS), *update, tf.constant(1.0))
    alone = _oracle(codec, sent, present)
    scale = 1e-5 * max(np.max(np.abs(part)) for part in alone)
    for is_present, found, part in zip(present, finish(of_one), alone, strict=True):
      np.testing.assert_allclose(found, part, rtol=1e-5, atol=scale if is_present else 0.0)
    sent, terms = add(terms, *update, tf.constant(weight))
    alone = _oracle(codec, sent, present)  # Stock encoders draw anew.
    rounding += weight * scale * np.array(present)
    expected = [total + weight * part for total, part in zip(expected, alone, strict=True)]
  for found, total, tolerance in zip(finish(terms), expected, rounding, strict=True):
    np.testing.assert_allclose(found, total, rtol=1e-5, atol=tolerance)


@pytest.mark.parametrize(
  ('text', 'concatenate'),
  [(text, True) for text in _CODECS if not text.startswith('tensor_encoding')] + [(text, False) for text in _ALONE],
)
def test_what_travels_is_encoded_as_if_the_rest_did_not_exist(text, concatenate):
  # Hence the error is the same too, and the bytes. Variables 0 and 1 are always trained together, 2 is left out, 3 never is.
  seeds = tf.constant([3, 1], tf.int64), _SHARED
  codec = _codec(text, concatenate, (0, 0, 2, groups.NEVER))
  sent = codec.encode(_tensors(0), tf.constant([True, True, False, False]), *seeds)
  alone = _codec(text, concatenate).encode(_tensors(0)[:2], tf.constant([True, True]), *seeds)
  found = [part for part in conformance.to_bytes(sent.payloads) if part]
  assert found == [part for part in conformance.to_bytes(alone.payloads) if part]


@pytest.mark.parametrize(
  ('together', 'present'),
  [((0, 0, 2, 2), (True, False, True, True)), ((0, 0, 0, groups.NEVER), _ALL)],
)
def test_an_update_that_is_not_of_whole_sets_is_refused(together, present):
  codec = _codec('uniform(bits=8)', True, together)
  with pytest.raises(tf.errors.InvalidArgumentError, match='travel together'):
    codec.encode(_tensors(0), tf.constant(present), _SHARED, _SHARED)


def test_sets_of_concatenated_variables_are_decoded_once_after_the_sum():
  # 137 values are rotated in buckets of 128, 8 and 2, and 30 in one of 32. What may be in part is added up decoded.
  codec = _codec('hadamard|uniform(bits=4)', True, (0, 0, 0, 3))
  assert [group.term_size for group in codec.groups(_SPECS)] == [128 + 8 + 2, 32]
  unknown = _codec('hadamard|uniform(bits=4)', True)
  assert [group.term_size for group in unknown.groups(_SPECS)] == [96 + 40 + 1 + 30]


_DELTA = tff.types.to_type(tuple((np.float32, shape) for shape in _SHAPES))


@functools.cache
def _process(text, together=None):
  codec = codec_specs.build(text, 'upload')
  factory = partial_mean.PartialMeanFactory(codec, measure_distortion=True, together=together)
  return factory.create(sent_update.update_type(_DELTA), tff.TensorType(np.float32))


def _update(client, trained):
  return collections.OrderedDict(
    delta=tuple(tensor.numpy() for tensor in _tensors(client)),
    trained=np.array(trained),
    client_seed=np.array([client, 1], np.int64),
    shared_seed=np.array([5, 6], np.int64),
    answers=True,
  )


def _run(process, updates, weights=_WEIGHTS):
  return process.next(process.initialize(), updates, [np.float32(weight) for weight in weights])


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize('together', [None, (0, 1, 0, groups.NEVER)])
@pytest.mark.parametrize(
  'text', ['concat|sign', 'concat|hadamard|uniform(bits=4)', 'rate_distortion(initial_step=0.3)']
)
def test_rounds(text, together):
  process = _process(text, together)
  first, second = (True, True, True, False), (True, False, True, False)
  both = _run(process, [_update(0, first), _update(1, second)])
  ones = [_run(process, [update], [1.0]) for update in (_update(0, first), _update(1, second))]
  for index in (0, 2):
    mean = 0.1 * ones[0].result['delta'][index] + 0.9 * ones[1].result['delta'][index]
    conformance.assert_close([both.result['delta'][index]], [mean], text)
  conformance.assert_close([both.result['delta'][1]], [ones[0].result['delta'][1]], text)
  assert not np.any(both.result['delta'][3])
  assert both.result['trained'].tolist() == [True, True, True, False]


@pytest.mark.usefixtures('worker')
def test_bytes_of_sets():
  # Distortion is measured, so that payloads are decoded in the graph that counts them, the harder case.
  process = _process('concat|uniform(bits=8)', (0, 1, 0, groups.NEVER))
  measured = [
    _run(process, [_update(0, trained)], [1.0]).measurements
    for trained in ((True, True, True, False), (True, False, True, False), (False, True, False, False), (False,) * 4)
  ]
  # A byte a value: 96 + 1 of the first set and 40 of the second; a range of 8 bytes each; a byte of presence bits.
  assert [each['upload_bytes_values'] for each in measured] == [97 + 40, 97, 40, 0]
  assert [each['upload_bytes_side'] for each in measured] == [8 + 8 + 1, 8 + 1, 8 + 1, 1]


@pytest.mark.usefixtures('worker')
def test_sets_of_another_update_are_refused():
  with pytest.raises(ValueError, match='together is of 3 variables, the update of 4'):
    _process('concat|sign', (0, 0, 0))
