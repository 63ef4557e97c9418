"""Encoders that see a sequence in both directions: BERT and its relatives, as models of classes or of masked tokens.

    x = LN(table[tokens] + positions + types[0]);  x = x W, where embeddings have a width of their own
    x <- LN(x + Attention(x));  x <- LN(x + MLP(x))
    classes: activation(x[first] P) C;  masked tokens: LN(gelu(x T)) table^T + b

BERT: Devlin et al. 2018 (arXiv 1810.04805); ALBERT: Lan et al. 2019 (arXiv 1909.11942), one block for all layers;
DistilBERT: Sanh et al. 2019 (arXiv 1910.01108), no token types. Biases are left out above. Both models of an encoder have
the same variables but for those of the block `head`.
"""

from collections.abc import Callable
import dataclasses
import functools

import numpy as np
import tensorflow as tf

from data import arguments
from models import language_task
from models import layers
from models import model as model_lib
from models import sizes
from models import weight as weight_lib

EPSILON = 1e-12  # Variance floor of all three.
ACTIVATIONS = {
  'gelu': tf.nn.gelu,
  # With a hyperbolic tangent in place of the error function.
  'gelu_new': functools.partial(tf.nn.gelu, approximate=True),
}

_INITIALIZER = model_lib.normal(0.02)
_DROPOUTS = 3  # Of a layer.
HEAD_INITS = ('shared', 'per_client')


@dataclasses.dataclass(frozen=True)
class Family:
  """What tells the three apart besides their dimensions.

  Attributes:
    name: That of the builder.
    num_token_types: Rows of the table of token types, of which only the first is used; 0 without a table.
    shares_block: Whether all layers are one block, behind embeddings of a width of their own.
    pooling: Activation between the two layers of the head for classes.
    activation: That of the published model's hidden layers: a key of `ACTIVATIONS`.
  """

  name: str
  num_token_types: int
  shares_block: bool
  pooling: Callable[[tf.Tensor], tf.Tensor]
  activation: str = 'gelu'


BERT = Family('bert', num_token_types=2, shares_block=False, pooling=tf.tanh)
ALBERT = Family('albert', num_token_types=2, shares_block=True, pooling=tf.tanh, activation='gelu_new')
DISTILBERT = Family('distilbert', num_token_types=0, shares_block=False, pooling=tf.nn.relu)


@dataclasses.dataclass(frozen=True)
class Encoder:
  """A stack of attention layers over int32 tokens [batch, length], in which id 0 is padding.

  Attributes:
    family: Which of the three.
    width: Units of what passes from layer to layer.
    mlp_width: Hidden width of each layer's MLP.
    num_layers: Number of layers.
    num_heads: Attention heads; divides width.
    max_length: Positions that have a code; sequences are no longer.
    embedding_width: Units of the embeddings; other than `width` only where the family shares its block.
    activation: Activation of the hidden layers: a key of `ACTIVATIONS`.
    dropout: Rate while training, in [0, 1): of embeddings, attention weights, what each sub-layer adds, and the input
      of the last layer for classes.
    attention_mask: Whether padding is hidden from the other positions.
    head_init: Whether clients start from one head for classes, `shared`, or each draws what is new in it, `per_client`.
  """

  family: Family
  width: int
  mlp_width: int
  num_layers: int
  num_heads: int
  max_length: int
  embedding_width: int
  activation: str
  dropout: float = 0.1
  attention_mask: bool = True
  head_init: str = 'shared'

  def __post_init__(self):
    arguments.check_one_of(HEAD_INITS, head_init=self.head_init)
    arguments.check_one_of(ACTIVATIONS, activation=self.activation)
    arguments.check_bool(attention_mask=self.attention_mask)
    arguments.check_within('[0, 1)', dropout=self.dropout)
    sizes.head_width(self.width, self.num_heads)

  @property
  def spec(self) -> str:
    """The text that `--model` takes to build it; what matters in training only is left out."""
    names = ['width', 'mlp_width', 'num_layers', 'num_heads', 'max_length']
    names += ['embedding_width'] if self.family.shares_block else []
    names += ['activation'] if self.activation != self.family.activation else []
    names += [] if self.attention_mask else ['attention_mask']
    return f'{self.family.name}({", ".join(f"{name}={getattr(self, name)!r}" for name in names)})'

  def classifier(self, vocabulary_size: int, num_classes: int) -> model_lib.Model:
    """Returns a model of int32 tokens [batch, length] to float32 logits [batch, num_classes], read off the first one."""

    def apply(weights: layers.Named, tokens: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
      first = self.hidden_states(weights, tokens, seed)[:, 0]
      pooled = self.family.pooling(layers.projection(weights, 'head/pooler', first))
      pooled = layers.dropout(pooled, self.dropout, seed, _DROPOUTS * self.num_layers + 1)
      return layers.projection(weights, 'head/classifier', pooled)

    head = [
      *layers.projection_variables('head/pooler', self.width, self.width),
      *layers.projection_variables('head/classifier', self.width, num_classes),
    ]
    return self._model(vocabulary_size, head, apply)

  def masked_language_model(self, vocabulary_size: int) -> model_lib.Model:
    """Returns a model of int32 tokens [batch, length] to float32 logits [batch, length, vocabulary_size]."""

    def apply(weights: layers.Named, tokens: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
      return self.token_logits(weights, self.hidden_states(weights, tokens, seed))

    vocabulary = model_lib.Units('vocabulary', 0, vocabulary_size)
    head = [
      *layers.projection_variables('head/transform', self.width, self.embedding_width),
      *layers.norm_variables('head/norm', self.embedding_width),
      model_lib.Variable('head/bias', (vocabulary_size,), model_lib.zeros, vocabulary),
    ]
    return self._model(vocabulary_size, head, apply)

  def token_logits(self, weights: layers.Named, states: tf.Tensor) -> tf.Tensor:
    """Scores every token at every position.

    Args:
      weights: Those of `masked_language_model`.
      states: float32 [batch, length, width], from `hidden_states`.

    Returns:
      float32 [batch, length, vocabulary_size].
    """
    x = layers.projection(weights, 'head/transform', states)
    x = layers.norm(weights, 'head/norm', ACTIVATIONS[self.activation](x), EPSILON)
    return layers.tied_logits(x, weights['embedding/table'], weights['head/bias'])

  def hidden_states(self, weights: layers.Named, tokens: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    """Encodes tokens.

    Args:
      weights: Those of either model, also with fewer units of an axis, or fewer blocks (numbered from 0).
      tokens: int32 [batch, length].
      seed: int64[2] for dropout while training, else None.

    Returns:
      float32 [batch, length, width].

    Raises:
      ValueError: For sequences longer than `max_length`.
    """
    x = self._embedded(weights, tokens, functools.partial(layers.dropout, rate=self.dropout, seed=seed, purpose=0))
    padding = None
    if self.attention_mask:
      padding = tf.cast(tf.equal(tokens, language_task.PADDING), tf.float32)[:, tf.newaxis, tf.newaxis, :]
    for layer in range(self.num_layers):
      block = 'block_0' if self.family.shares_block else f'block_{layer}'
      if f'{block}/attention/norm_scale' in weights:
        run = functools.partial(self._layer, weights, block, padding=padding, seed=seed, purpose=_DROPOUTS * layer + 1)
        x = layers.passed(weights, block, x, run)
    return x

  def features(self, weights: layers.Named, tokens: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    """Returns float32 [batch, width]: the mean of `hidden_states` over what is not padding; the arguments are its."""
    kept = tf.cast(tf.not_equal(tokens, language_task.PADDING), tf.float32)[:, :, tf.newaxis]
    states = self.hidden_states(weights, tokens, seed)
    return tf.math.divide_no_nan(tf.reduce_sum(kept * states, axis=1), tf.reduce_sum(kept, axis=1))

  def _embedded(self, weights: layers.Named, tokens: tf.Tensor, drop: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    if tokens.shape[1] > self.max_length:
      raise ValueError(
        f'sequences of {tokens.shape[1]} tokens, but the model has {self.max_length} positions: cut them'
      )
    x = weight_lib.of(weights['embedding/table']).rows(tokens)
    x += weight_lib.of(weights['embedding/positions']).rows(tf.range(tokens.shape[1]))
    if self.family.num_token_types:
      x += weight_lib.of(weights['embedding/token_types']).rows(tf.constant(0))
    x = drop(layers.norm(weights, 'embedding/norm', x, EPSILON))
    return layers.projection(weights, 'embedding/projection', x) if self.family.shares_block else x

  def _layer(
    self,
    weights: layers.Named,
    block: str,
    x: tf.Tensor,
    padding: tf.Tensor | None,
    seed: tf.Tensor | None,
    purpose: int,
  ) -> tf.Tensor:
    drop, drop_attention, drop_mlp = (
      functools.partial(layers.dropout, rate=self.dropout, seed=seed, purpose=purpose + i) for i in range(_DROPOUTS)
    )
    head_width = sizes.head_width(self.width, self.num_heads)
    y = layers.self_attention(weights, f'{block}/attention', x, head_width, padding, drop)
    x = layers.norm(weights, f'{block}/attention/norm', x + drop_attention(y), EPSILON)
    y = layers.hidden_layer(weights, f'{block}/mlp', x, ACTIVATIONS[self.activation])
    return layers.norm(weights, f'{block}/mlp/norm', x + drop_mlp(y), EPSILON)

  def _model(
    self, vocabulary_size: int, head: list[model_lib.Variable], apply: Callable[..., tf.Tensor]
  ) -> model_lib.Model:
    variables = (
      dataclasses.replace(variable, initializer=_INITIALIZER) if len(variable.shape) == 2 else variable
      for variable in [*self._backbone(vocabulary_size), *head]
    )
    return model_lib.Model(tuple(variables), apply, skips_blocks=not self.family.shares_block)

  def _backbone(self, vocabulary_size: int) -> list[model_lib.Variable]:
    def table(name: str, rows: int, units: model_lib.Units | None = None) -> model_lib.Variable:
      return model_lib.Variable(f'embedding/{name}', (rows, self.embedding_width), _INITIALIZER, units)

    variables = [
      table('table', vocabulary_size, model_lib.Units('vocabulary', 0, vocabulary_size)),
      table('positions', self.max_length),
    ]
    if self.family.num_token_types:
      variables.append(table('token_types', self.family.num_token_types))
    variables += layers.norm_variables('embedding/norm', self.embedding_width)
    if self.family.shares_block:
      variables += layers.projection_variables('embedding/projection', self.embedding_width, self.width)
    for index in range(1 if self.family.shares_block else self.num_layers):
      variables += layers.attention_variables(f'block_{index}/attention', self.width, self.num_heads)
      variables += layers.mlp_variables(f'block_{index}/mlp', self.width, self.mlp_width)
    return variables


def initial_pooler(encoder: Encoder) -> dict[str, np.ndarray]:
  """Returns a pooler for an encoder that was pre-trained without one: the identity before a tanh, nothing elsewhere.

  The published BERT and ALBERT bring a pooler along, so that of their head the last layer alone is new; the head of
  DistilBERT is new as a whole.
  """
  if encoder.family.pooling is not tf.tanh:
    return {}
  kernel = np.eye(encoder.width, dtype=np.float32)
  return {'head/pooler_kernel': kernel, 'head/pooler_bias': np.zeros(encoder.width, np.float32)}
