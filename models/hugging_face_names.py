"""What the variables of an encoder are called in the Hugging Face layout, and what else a file may hold.

There a kernel is stored transposed, and the names of the encoder itself begin with the family's, or not.
"""

from collections.abc import Iterable
import re

_EMBEDDINGS = {
  'embedding/table': 'embeddings.word_embeddings',
  'embedding/positions': 'embeddings.position_embeddings',
  'embedding/token_types': 'embeddings.token_type_embeddings',
  'embedding/norm': 'embeddings.LayerNorm',
  'embedding/projection': 'encoder.embedding_hidden_mapping_in',
}
_BLOCKS = {
  'bert': {
    'attention/query': 'encoder.layer.{}.attention.self.query',
    'attention/key': 'encoder.layer.{}.attention.self.key',
    'attention/value': 'encoder.layer.{}.attention.self.value',
    'attention/output': 'encoder.layer.{}.attention.output.dense',
    'attention/norm': 'encoder.layer.{}.attention.output.LayerNorm',
    'mlp/up': 'encoder.layer.{}.intermediate.dense',
    'mlp/down': 'encoder.layer.{}.output.dense',
    'mlp/norm': 'encoder.layer.{}.output.LayerNorm',
  },
  'albert': {
    'attention/query': 'encoder.albert_layer_groups.{}.albert_layers.0.attention.query',
    'attention/key': 'encoder.albert_layer_groups.{}.albert_layers.0.attention.key',
    'attention/value': 'encoder.albert_layer_groups.{}.albert_layers.0.attention.value',
    'attention/output': 'encoder.albert_layer_groups.{}.albert_layers.0.attention.dense',
    'attention/norm': 'encoder.albert_layer_groups.{}.albert_layers.0.attention.LayerNorm',
    'mlp/up': 'encoder.albert_layer_groups.{}.albert_layers.0.ffn',
    'mlp/down': 'encoder.albert_layer_groups.{}.albert_layers.0.ffn_output',
    'mlp/norm': 'encoder.albert_layer_groups.{}.albert_layers.0.full_layer_layer_norm',
  },
  'distilbert': {
    'attention/query': 'transformer.layer.{}.attention.q_lin',
    'attention/key': 'transformer.layer.{}.attention.k_lin',
    'attention/value': 'transformer.layer.{}.attention.v_lin',
    'attention/output': 'transformer.layer.{}.attention.out_lin',
    'attention/norm': 'transformer.layer.{}.sa_layer_norm',
    'mlp/up': 'transformer.layer.{}.ffn.lin1',
    'mlp/down': 'transformer.layer.{}.ffn.lin2',
    'mlp/norm': 'transformer.layer.{}.output_layer_norm',
  },
}
_HEADS = {
  'bert': {
    'head/pooler': 'bert.pooler.dense',
    'head/classifier': 'classifier',
    'head/transform': 'cls.predictions.transform.dense',
    'head/norm': 'cls.predictions.transform.LayerNorm',
    'head': 'cls.predictions',
  },
  'albert': {
    'head/pooler': 'albert.pooler',
    'head/classifier': 'classifier',
    'head/transform': 'predictions.dense',
    'head/norm': 'predictions.LayerNorm',
    'head': 'predictions',
  },
  'distilbert': {
    'head/pooler': 'pre_classifier',
    'head/classifier': 'classifier',
    'head/transform': 'vocab_transform',
    'head/norm': 'vocab_layer_norm',
    'head': 'vocab_projector',
  },
}
# The output layer is tied to the embeddings; of the second sentence, and its order, nothing here knows.
_EXTRA = re.compile(
  r'(.*\.)?position_ids|(cls\.)?predictions\.decoder\.(weight|bias)|vocab_projector\.weight'
  r'|cls\.seq_relationship\..*|sop_classifier\..*'
)


def published(family: str, name: str) -> str:
  """Returns the name there of a variable here, with the family's prefix; it ends in `weight` or `bias`."""
  match = re.fullmatch(r'(.+)[/_](kernel|scale|bias)', name)
  part, ending = match.groups() if match else (name, 'table')
  if part in _HEADS[family]:
    module = _HEADS[family][part]
  elif part in _EMBEDDINGS:
    module = f'{family}.{_EMBEDDINGS[part]}'
  else:
    block, _, rest = part.partition('/')
    module = f'{family}.{_BLOCKS[family][rest].format(block.removeprefix("block_"))}'
  return f'{module}.{"bias" if ending == "bias" else "weight"}'


def canonical(family: str, names: Iterable[str]) -> dict[str, str]:
  """Maps the names in a file to those of `published`, where they are variants of them.

  Args:
    family: The model's.
    names: Those in the file: with or without the family's prefix, normalization's with `gamma` and `beta` or not.

  Returns:
    From names in the file to names with prefix, `weight` and `bias`; known extras are left out.
  """
  result = {}
  outside = tuple(f'{module}.' for module in _HEADS[family].values())
  for name in names:
    if _EXTRA.fullmatch(name):
      continue
    new = re.sub(r'\.gamma$', '.weight', re.sub(r'\.beta$', '.bias', name))
    result[name] = new if new.startswith((f'{family}.', *outside)) else f'{family}.{new}'
  return result
