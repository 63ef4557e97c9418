"""Self-supervised tasks measure what the papers say, of two views that are drawn with the seed, and train an encoder."""

import collections
import math
import re

import numpy as np
import pytest
import tensorflow as tf

from models import augmentation
from models import catalog
from models import gradients as gradients_lib
from models import image_task
from models import self_supervised_task
from models import vit

_SHAPE = (4, 4, 1)
_SEED = tf.constant([3, 4], tf.int64)
_erf = np.vectorize(math.erf)


def _encoder(num_layers=1, dropout=0.0, num_heads=1):
  return vit.vit(width=8, mlp_width=12, num_layers=num_layers, num_heads=num_heads, patch_size=2, dropout=dropout)


def _small(name, **arguments):
  bottleneck = dict(bottleneck=3) if name == 'simsiam' else {}
  return catalog.OBJECTIVES[name](width=7, outputs=5, **bottleneck, **arguments)


def _batch(batch, shape=_SHAPE):
  images = np.random.default_rng(8).integers(0, 256, [batch, *shape])
  return collections.OrderedDict(
    image=tf.constant(images, tf.int32), label=tf.zeros([batch], tf.int32), client_key=tf.zeros([batch], tf.int64)
  )


def _weights(task):
  rng = np.random.default_rng(9)
  return [tf.constant(rng.normal(0.0, 0.4, variable.shape), tf.float32) for variable in task.model.variables]


def _measured(task, weights, batch, seed=None):
  measures = tf.function(lambda batch: task.evaluate(weights, batch, seed), autograph=False)(batch)
  return {name: float(value) for name, value in measures.items()}


def _norm(w, name, x):
  centred = x - x.mean(-1, keepdims=True)
  return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * w[f'{name}_scale'] + w[f'{name}_bias']


def _project(w, name, x):
  return x @ w[f'{name}_kernel'] + w[f'{name}_bias']


def _plain_features(w, view):
  """The features of one 4 x 4 image: four patches, one layer and one head of attention."""
  patches = [view[i : i + 2, j : j + 2].reshape(-1) for i in (0, 2) for j in (0, 2)]
  code = [[math.sin(p), math.sin(p / 100), math.cos(p), math.cos(p / 100)] for p in (0, 1)]
  x = _project(w, 'embedding/patch', np.stack(patches)) + np.array([code[i] + code[j] for i in (0, 1) for j in (0, 1)])
  y = _norm(w, 'block_0/attention/norm', x)
  q, k, v = (_project(w, f'block_0/attention/{part}', y) for part in ('query', 'key', 'value'))
  p = np.exp(q @ k.T / math.sqrt(8))
  x = x + _project(w, 'block_0/attention/output', p / p.sum(-1, keepdims=True) @ v)
  y = _project(w, 'block_0/mlp/up', _norm(w, 'block_0/mlp/norm', x))
  return (x + _project(w, 'block_0/mlp/down', y * 0.5 * (1 + _erf(y / math.sqrt(2))))).mean(0)


def _plain_layer(w, name, x, normalize=lambda x: x):
  return _project(w, f'{name}_output', np.maximum(normalize(_project(w, f'{name}_hidden', x)), 0.0))


def _standardized(x):
  return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)


def _plain_outputs(objective, task, weights, batch, seed):
  """Float64 projections and predictions [2][batch][outputs], image by image; predictions are empty for SimCLR."""
  w = {name: weight.numpy().astype(np.float64) for name, weight in task.model.by_name(weights).items()}
  views = augmentation.two_views(image_task.scaled(batch['image']), seed, objective.augmentation)
  features = [[_plain_features(w, view) for view in images.numpy().astype(np.float64)] for images in views]
  h = np.array([_norm(w, 'head/norm', h) for images in features for h in images])
  if not hasattr(objective, 'bottleneck'):
    return np.split(_plain_layer(w, 'head/projection', h), 2), []
  z = _standardized(_plain_layer(w, 'head/projection', h, _standardized))
  return np.split(z, 2), np.split(_plain_layer(w, 'head/prediction', z, _standardized), 2)


def _cosine(a, b):
  return sum(a * b) / math.sqrt(sum(a * a) * sum(b * b))


@pytest.mark.parametrize('seed', [pytest.param(_SEED, id='training'), pytest.param(None, id='evaluation')])
def test_simclr_equals_the_sum_over_pairs(seed):
  objective = _small('simclr', temperature=0.3)
  task = self_supervised_task.build(objective, _encoder(), _SHAPE)
  weights, batch = _weights(task), _batch(5)
  views_seed = tf.constant([0, 0], tf.int64) if seed is None else seed
  (first, second), _ = _plain_outputs(objective, task, weights, batch, views_seed)
  z, loss, correct = [*first, *second], 0.0, 0.0
  for i in range(10):
    scores = {k: _cosine(z[i], z[k]) / 0.3 for k in range(10) if k != i}
    own = (i + 5) % 10
    loss += (math.log(sum(map(math.exp, scores.values()))) - scores[own]) / 2
    correct += (max(scores, key=scores.get) == own) / 2
  found = _measured(task, weights, batch, seed)
  np.testing.assert_allclose(list(found.values()), [loss, correct, 5.0], rtol=1e-4, atol=1e-6)
  assert list(found) == ['loss_sum', 'correct_sum', 'weight_sum']


def test_simsiam_equals_the_sum_over_images():
  objective = _small('simsiam')
  task = self_supervised_task.build(objective, _encoder(), _SHAPE)
  weights, batch = _weights(task), _batch(6)
  z, p = _plain_outputs(objective, task, weights, batch, _SEED)
  loss, correct = 0.0, 0.0
  for view in (0, 1):
    for i in range(6):
      cosines = [_cosine(p[view][i], z[1 - view][k]) for k in range(6)]
      loss -= cosines[i] / 2
      correct += (int(np.argmax(cosines)) == i) / 2
  found = _measured(task, weights, batch, _SEED)
  np.testing.assert_allclose(list(found.values()), [loss, correct, 6.0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', catalog.OBJECTIVES)
def test_one_image_is_right(name):
  task = self_supervised_task.build(_small(name), _encoder(), _SHAPE)
  found = _measured(task, _weights(task), _batch(1))
  assert (found['correct_sum'], found['weight_sum']) == (1.0, 1.0)


@pytest.mark.parametrize('name', catalog.OBJECTIVES)
def test_only_the_seed_changes_what_is_measured(name):
  task = self_supervised_task.build(_small(name), _encoder(dropout=0.5), _SHAPE)
  weights, batch = _weights(task), _batch(4)

  def measured(task, batch, seed=None):
    return [float(value) for value in task.evaluate(weights, batch, seed).values()]

  plain = measured(task, batch)
  assert plain == measured(task, batch)
  # Dropout is for training, and labels are for nobody.
  sure = self_supervised_task.build(_small(name), _encoder(dropout=0.0), _SHAPE)
  assert plain == measured(sure, batch | dict(label=tf.range(4)))
  seeds = [tf.constant(seed, tf.int64) for seed in ([0, 0], [0, 1], [1, 0])]
  assert len({measured(sure, batch, seed)[0] for seed in seeds}) == 3
  assert plain == measured(sure, batch, seeds[0])
  assert plain != measured(task, batch, seeds[0])


@pytest.mark.parametrize(
  ('name', 'size', 'parts'),
  [
    # Patches 4 * 8 + 8 = 40; a block: two norms 32, attention 4 * (64 + 8) = 288, MLP 8 * 12 + 12 + 12 * 8 + 8 = 212: 532.
    # Head: norm 16, projection 8 * 7 + 7 + 7 * 5 + 5 = 103. Sum 40 + 532 + 16 + 103 = 691.
    pytest.param('simclr', 691, ['projection'], id='simclr'),
    # And a prediction of 5 * 3 + 3 + 3 * 5 + 5 = 38.
    pytest.param('simsiam', 729, ['projection', 'prediction'], id='simsiam'),
  ],
)
def test_variables_are_those_of_the_encoder_and_a_head(name, size, parts):
  encoder = _encoder()
  model = _small(name).model(encoder, _SHAPE)
  assert model.num_parameters == size
  assert model.skips_blocks
  count = len(encoder.variables(_SHAPE))
  assert [v.name for v in model.variables[:count]] == [v.name for v in encoder.variables(_SHAPE)]
  kinds = [f'{layer}_{kind}' for layer in ('hidden', 'output') for kind in ('kernel', 'bias')]
  head = ['head/norm_scale', 'head/norm_bias', *(f'head/{part}_{kind}' for part in parts for kind in kinds)]
  assert [v.name for v in model.variables[count:]] == head


def test_examples_are_those_of_a_classifier():
  task = self_supervised_task.build(_small('simclr'), _encoder(), _SHAPE)
  classifier = image_task.build(_encoder().classifier(_SHAPE, 2), _SHAPE)
  assert task.example_spec == classifier.example_spec
  assert not task.is_language_model
  np.testing.assert_allclose(task.inputs(dict(image=tf.constant([0, 255]))), [-1.0, 1.0], rtol=1e-6, atol=1e-6)


def test_an_encoder_of_other_images_is_refused():
  with pytest.raises(ValueError, match=r'^patch_size=2 must divide images of 5 x 4 pixels$'):
    self_supervised_task.build(_small('simclr'), _encoder(), (5, 4, 1))


@pytest.mark.parametrize(
  ('name', 'arguments', 'message'),
  [
    ('simclr', dict(temperature=0.0), 'temperature must be a positive number, not 0.0'),
    ('simclr', dict(temperature=math.inf), 'temperature must be a positive number, not inf'),
    ('simclr', dict(temperature=True), 'temperature must be a positive number, not True'),
    ('simclr', dict(temperature='low'), "temperature must be a positive number, not 'low'"),
    ('simclr', dict(width=0), 'width must be a whole number from 1 to 1,000,000, not 0'),
    ('simclr', dict(outputs=1.5), 'outputs must be a whole number from 1 to 1,000,000, not 1.5'),
    ('simclr', dict(min_area=0), 'min_area must lie in (0, 1], not 0'),
    ('simsiam', dict(width=0), 'width must be a whole number from 1 to 1,000,000, not 0'),
    ('simsiam', dict(outputs=0), 'outputs must be a whole number from 1 to 1,000,000, not 0'),
    ('simsiam', dict(bottleneck=0), 'bottleneck must be a whole number from 1 to 1,000,000, not 0'),
    ('simsiam', dict(jitter=2.0), 'jitter must lie in [0, 1], not 2.0'),
  ],
)
def test_model_refuses_what_cannot_be(name, arguments, message):
  with pytest.raises(ValueError, match=f'^{re.escape(message)}$'):
    catalog.OBJECTIVES[name](**arguments)


@pytest.mark.parametrize('name', catalog.OBJECTIVES)
def test_arguments_of_views_arrive(name):
  changes = dict(min_area=0.5, flip=False, jitter=0.1, greyscale=False)
  assert catalog.OBJECTIVES[name](**changes).augmentation == augmentation.Augmentation(**changes)
  assert catalog.OBJECTIVES[name]().augmentation == augmentation.Augmentation()


def test_simsiam_does_not_move_its_targets():
  task = self_supervised_task.build(_small('simsiam'), _encoder(), _SHAPE)
  weights, batch = _weights(task), _batch(4)
  _, found = gradients_lib.gradients(task, weights, [True] * len(weights), batch, _SEED)
  named, images = task.model.by_name(weights), task.inputs(batch)
  *_, first_fixed, second_fixed = task.model.apply(named, images, _SEED)

  def gradients(hold):
    with tf.GradientTape() as tape:
      tape.watch(weights)
      first, second, first_target, second_target = task.model.apply(named, images, _SEED)
      targets = (first_fixed, second_fixed) if hold else (first_target, second_target)
      units = [tf.math.l2_normalize(x, axis=1) for x in (first, second, *targets)]
      loss = -(tf.reduce_sum(units[0] * units[3]) + tf.reduce_sum(units[1] * units[2])) / 8.0
    return tape.gradient(loss, weights, unconnected_gradients='zero')

  for gradient, expected in zip(found, gradients(hold=True), strict=True):
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)
  index = list(named).index('head/projection_output_kernel')
  assert not np.allclose(found[index], gradients(hold=False)[index], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
  ('name', 'products'),
  [
    # Forward: the patches, 6 kernels in each of two blocks, 2 (4) of the head, and what is compared with what: 1
    # (2, which have no gradient). Each kernel of a trained block or head has two more on the way back, patches one.
    # SimCLR: 1 + 12 + 2 + 1 = 16; back 2 * (6 + 2 + 1) = 18; or 2 * (12 + 2 + 1) + 1 = 31.
    pytest.param('simclr', [16, 16 + 18, 16 + 31], id='simclr'),
    # SimSiam: 1 + 12 + 4 + 2 = 19; back 2 * (6 + 4) = 20; or 2 * (12 + 4) + 1 = 33.
    pytest.param('simsiam', [19, 19 + 20, 19 + 33], id='simsiam'),
  ],
)
def test_a_frozen_first_block_has_no_backward_pass(name, products):
  task = self_supervised_task.build(_small(name), _encoder(num_layers=2), _SHAPE)
  weights, batch = tuple(_weights(task)), _batch(3)

  def operations(trained):
    def step(weights, batch):
      return gradients_lib.gradients(task, weights, trained, batch, _SEED)

    graph = tf.function(step, autograph=False).get_concrete_function(weights, batch).graph.as_graph_def()
    functions = [node for function in graph.library.function for node in function.node_def]
    return collections.Counter(node.op for node in [*graph.node, *functions])

  suffix = [variable.block in ('block_1', 'head') for variable in task.model.variables]
  nothing, everything = ([flag] * len(suffix) for flag in (False, True))
  counts = [operations(trained) for trained in (nothing, suffix, everything)]
  # Attention has two products in each block, for both views at once, and each product two more on the way back.
  assert [count['BatchMatMulV2'] for count in counts] == [4, 8, 12]
  assert [count['MatMul'] for count in counts] == products
  assert [count['CropAndResize'] for count in counts] == [2, 2, 2]
  assert [count['CropAndResizeGradImage'] for count in counts] == [0, 0, 0]


# Those who guess are right once in 63 with SimCLR, once in 32 with SimSiam.
@pytest.mark.parametrize(('name', 'expected'), [('simclr', 0.5), ('simsiam', 0.25)])
def test_a_tiny_encoder_learns_to_tell_images_apart(name, expected):
  encoder = vit.vit(width=16, mlp_width=32, num_layers=1, num_heads=2, patch_size=2)
  objective = catalog.OBJECTIVES[name](width=32, outputs=16, min_area=0.6, flip=False, jitter=0.2)
  task = self_supervised_task.build(objective, encoder, (8, 8, 1))
  weights = [tf.Variable(weight) for weight in task.model.initial_weights(1)]
  # Each image is four squares of random brightness.
  squares = np.random.default_rng(8).integers(0, 256, [32, 2, 2, 1]).repeat(4, axis=1).repeat(4, axis=2)
  optimizer, batch = tf.keras.optimizers.Adam(0.01), dict(image=tf.constant(squares, tf.int32))

  @tf.function(autograph=False)
  def step(seed):
    _, gradients = gradients_lib.gradients(task, weights, [True] * len(weights), batch, seed)
    optimizer.apply_gradients(zip(gradients, weights, strict=True))

  def accuracy():
    measures = task.evaluate([tf.convert_to_tensor(weight) for weight in weights], batch)
    return float(measures['correct_sum'] / measures['weight_sum'])

  # Of views that no step has seen.
  assert accuracy() < 0.2
  for index in range(40):
    step(tf.constant([1, index], tf.int64))
  assert accuracy() > expected
