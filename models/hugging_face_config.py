"""The `config.json` of an encoder in the Hugging Face layout: dimensions, and what the code here takes for granted."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from models import encoder as encoder_lib

# Ours to theirs.
_DIMENSIONS = dict(
  width='hidden_size',
  mlp_width='intermediate_size',
  num_layers='num_hidden_layers',
  num_heads='num_attention_heads',
  max_length='max_position_embeddings',
)
_DISTILBERT_DIMENSIONS = dict(
  width='dim', mlp_width='hidden_dim', num_layers='n_layers', num_heads='n_heads', max_length='max_position_embeddings'
)
# The only values that the encoders here know, where a checkpoint says anything else than nothing.
_ASSUMED = dict(
  position_embedding_type='absolute',
  layer_norm_eps=encoder_lib.EPSILON,
  is_decoder=False,
  add_cross_attention=False,
  tie_word_embeddings=True,
)
_ASSUMED_OF_FAMILY = {
  'bert': dict(type_vocab_size=2),
  'albert': dict(type_vocab_size=2, num_hidden_groups=1, inner_group_num=1),
  'distilbert': {},
}
# What only this suite writes and reads: whether padding is hidden, and the tokens of an example.
_ATTENTION_MASK, _SEQUENCE_LENGTH = 'attention_mask', 'sequence_length'
_ARCHITECTURES = {'bert': 'Bert', 'albert': 'Albert', 'distilbert': 'DistilBert'}
_FAMILIES = {family.name: family for family in (encoder_lib.BERT, encoder_lib.ALBERT, encoder_lib.DISTILBERT)}


def parse(config: Any) -> tuple[encoder_lib.Encoder, int, tuple[str, ...]]:
  """Reads a configuration.

  Args:
    config: The content of a `config.json`.

  Returns:
    The encoder, the size of its vocabulary, and the names of the classes, if it tells them.

  Raises:
    ValueError: With one line that names the entry which is missing, wrong or of a model that is not supported.
  """
  name = _family(config)
  for key, value in (_ASSUMED | _ASSUMED_OF_FAMILY[name]).items():
    if config.get(key, value) != value:
      raise ValueError(f'{key} is {config[key]!r}: only {value!r} is supported')
  keys, activation_key, dropout_key = _keys(name)
  activation = config.get(activation_key, _FAMILIES[name].activation)
  if activation not in tuple(encoder_lib.ACTIVATIONS):
    raise ValueError(f'{activation_key} is {activation!r}: only {", ".join(encoder_lib.ACTIVATIONS)} are supported')
  dimensions = {ours: _whole_number(config, theirs) for ours, theirs in keys.items()}
  dimensions.setdefault('embedding_width', dimensions['width'])
  dropout = config.get(dropout_key, 0.0 if name == 'albert' else 0.1)
  if not isinstance(dropout, (int, float)):
    raise ValueError(f'{dropout_key} is {dropout!r}: it must be a number')
  options = dict(activation=activation, dropout=dropout, attention_mask=config.get(_ATTENTION_MASK, True))
  encoder = encoder_lib.Encoder(_FAMILIES[name], **dimensions, **options)
  return encoder, _whole_number(config, 'vocab_size'), _labels(config.get('id2label', {}))


def padding_row(config: Mapping[str, Any]) -> int:
  """Returns the id of padding in a `config.json` that `parse` reads; raises ValueError for none of its vocabulary."""
  row = config.get('pad_token_id')
  row = 0 if row is None else row
  if not isinstance(row, int) or isinstance(row, bool) or not 0 <= row < config['vocab_size']:
    raise ValueError(f'pad_token_id is {row!r}: it must be an id of the vocabulary')
  return row


def sequence_length(config: Mapping[str, Any]) -> int | None:
  """Returns how many tokens the examples had, if a `config.json` tells; raises ValueError for no such number."""
  return _whole_number(config, _SEQUENCE_LENGTH) if _SEQUENCE_LENGTH in config else None


def check_family(encoder: encoder_lib.Encoder) -> None:
  """Raises `ValueError` unless the layout knows the family of an encoder."""
  family = encoder.family
  if _FAMILIES.get(family.name) != family:
    raise ValueError(f'it knows {", ".join(_FAMILIES)}, not {family.name}: use the folder of the run as it is')


def describe(
  encoder: encoder_lib.Encoder,
  vocabulary_size: int,
  labels: Sequence[str],
  model: str,
  padding: int = 0,
  sequence_length: int | None = None,
) -> dict[str, Any]:
  """Writes a configuration that `parse` reads.

  Args:
    encoder: The encoder.
    vocabulary_size: Ids of tokens are below it.
    labels: Names of the classes; none where there is no classifier.
    model: The class there without the family's name, for example `ForSequenceClassification`.
    padding: The id of padding.
    sequence_length: Tokens of the examples that a classifier was trained on, if it is known.

  Returns:
    The content of a `config.json`.
  """
  name = encoder.family.name
  keys, activation_key, dropout_key = _keys(name)
  assumed = dict(position_embedding_type=_ASSUMED['position_embedding_type'], pad_token_id=padding)
  config = dict(
    architectures=[_ARCHITECTURES[name] + model],
    model_type=name,
    vocab_size=vocabulary_size,
    **{theirs: getattr(encoder, ours) for ours, theirs in keys.items()},
    **{activation_key: encoder.activation, dropout_key: encoder.dropout},
    **assumed,
    **_ASSUMED_OF_FAMILY[name],
    torch_dtype='float32',
  )
  if name == 'distilbert':
    config |= dict(attention_dropout=encoder.dropout, seq_classif_dropout=encoder.dropout)
  else:
    config |= dict(layer_norm_eps=encoder_lib.EPSILON, attention_probs_dropout_prob=encoder.dropout)
  config |= {} if encoder.attention_mask else {_ATTENTION_MASK: False}
  config |= {_SEQUENCE_LENGTH: sequence_length} if sequence_length else {}
  if labels:
    config['id2label'] = {str(index): label for index, label in enumerate(labels)}
    config['label2id'] = {label: index for index, label in enumerate(labels)}
  return config


def _family(config: Any) -> str:
  """Returns the name of the family: that of its `model_type`, or without one of its `architectures`."""
  if not isinstance(config, dict):
    raise ValueError(f'it is {type(config).__name__} and no JSON object: copy the model again')
  if 'model_type' in config:
    if config['model_type'] not in tuple(_FAMILIES):  # A tuple also takes what cannot be hashed.
      raise ValueError(f'model_type is {config["model_type"]!r}: only {", ".join(_FAMILIES)} can be read')
    return config['model_type']
  classes = config.get('architectures')
  for name, prefix in _ARCHITECTURES.items():
    if isinstance(classes, list) and any(isinstance(each, str) and each.startswith(prefix) for each in classes):
      return name
  raise ValueError(f'model_type is missing, and architectures does not tell: add one of {", ".join(_FAMILIES)}')


def _keys(family: str) -> tuple[dict[str, str], str, str]:
  """Returns what dimensions, activation and dropout of a family are called."""
  if family == 'distilbert':
    return _DISTILBERT_DIMENSIONS, 'activation', 'dropout'
  factorized = dict(embedding_width='embedding_size') if family == 'albert' else {}
  return _DIMENSIONS | factorized, 'hidden_act', 'hidden_dropout_prob'


def _whole_number(config: Mapping[str, Any], key: str) -> int:
  value = config.get(key)
  if not isinstance(value, int) or isinstance(value, bool) or value < 1:
    raise ValueError(f'{key} is {value!r}: it must be a whole number of at least 1')
  return value


def _labels(by_index: Any) -> tuple[str, ...]:
  """Returns the names of classes by their number, which is a string in JSON."""
  if not isinstance(by_index, dict) or set(by_index) != {str(index) for index in range(len(by_index))}:
    raise ValueError(f'id2label is {repr(by_index)[:80]}: it must name classes 0, 1 and so on')
  return tuple(str(by_index[str(index)]) for index in range(len(by_index)))
