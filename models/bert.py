"""The published encoders by size: BERT, ALBERT and DistilBERT, as in `models.encoder`.

`base` has the dimensions of bert-base, albert-base and distilbert-base; with vocabularies of 28,996, 30,000 and 28,996
the encoders, pooler included where there is one, have 108,310,272, 11,683,584 and 65,190,912 parameters. `tiny` and
`small` keep the proportions.
"""

from collections.abc import Callable
from collections.abc import Mapping
import functools

from models import encoder
from models import sizes

_BASE = dict(width=768, mlp_width=3072, num_layers=12, num_heads=12, max_length=512)
_SMALL = dict(width=256, mlp_width=1024, num_layers=4, num_heads=4, max_length=512)
_TINY = dict(width=128, mlp_width=512, num_layers=2, num_heads=2, max_length=128)

BERT_SIZES = dict(tiny=_TINY, small=_SMALL, base=_BASE)
ALBERT_SIZES = dict(
  tiny=dict(_TINY, embedding_width=64), small=dict(_SMALL, embedding_width=128), base=dict(_BASE, embedding_width=128)
)
DISTILBERT_SIZES = dict(
  tiny=dict(_TINY, num_layers=1), small=dict(_SMALL, num_layers=2), base=dict(_BASE, num_layers=6)
)


def _encoder(
  family: encoder.Family,
  published: Mapping[str, Mapping[str, int]],
  embedding_width: int | None = None,
  size: str = 'tiny',
  width: int | None = None,
  mlp_width: int | None = None,
  num_layers: int | None = None,
  num_heads: int | None = None,
  max_length: int | None = None,
  activation: str | None = None,
  dropout: float = 0.1,
  attention_mask: bool = True,
  head_init: str = 'shared',
) -> encoder.Encoder:
  """Configures an encoder of a family, given dimensions by the names of sizes.

  Args:
    embedding_width: Width of the embeddings, of ALBERT alone.
    size: `tiny`, `small` or `base`; the other arguments override its dimensions.
    width: Width of what passes from layer to layer, and of the embeddings where they have none of their own.
    mlp_width: Hidden width of each layer's MLP.
    num_layers: Number of layers, or how often the one block of ALBERT is applied.
    num_heads: Attention heads; divides width.
    max_length: Longest sequence, in tokens.
    activation: Activation of the hidden layers, `gelu` or `gelu_new`; by default that of the published model.
    dropout: See `Encoder`.
    attention_mask: Whether padding, id 0, is hidden from the other positions.
    head_init: See `Encoder`.

  Returns:
    The encoder, which builds models.

  Raises:
    ValueError: For dimensions out of range.
  """
  given = dict(width=width, mlp_width=mlp_width, num_layers=num_layers, num_heads=num_heads, max_length=max_length)
  dimensions = sizes.chosen(published, size, given | dict(embedding_width=embedding_width))
  dimensions.setdefault('embedding_width', dimensions['width'])
  return encoder.Encoder(
    family,
    **dimensions,
    activation=family.activation if activation is None else activation,
    dropout=dropout,
    attention_mask=attention_mask,
    head_init=head_init,
  )


def _named(name: str, summary: str, *bound: object) -> Callable[..., encoder.Encoder]:
  """Returns `_encoder` with its first arguments bound, under a name of its own, and documented but for its first line."""
  builder = functools.partial(_encoder, *bound)
  builder.__name__, builder.__module__ = name, __name__
  builder.__doc__ = summary + _encoder.__doc__[_encoder.__doc__.index('\n') :]
  return builder


_NO_ARGUMENT = None  # For `embedding_width`.

bert = _named(
  'bert',
  'Configures BERT, an encoder that sees a text in both directions (Devlin et al. 2018, arXiv 1810.04805).',
  encoder.BERT,
  BERT_SIZES,
  _NO_ARGUMENT,
)
albert = _named(
  'albert',
  'Configures ALBERT, whose layers are one block applied again and again (Lan et al. 2019, arXiv 1909.11942).',
  encoder.ALBERT,
  ALBERT_SIZES,
)
distilbert = _named(
  'distilbert',
  "Configures DistilBERT: half of BERT's layers, and no part of the head for classes pre-trained.",
  encoder.DISTILBERT,
  DISTILBERT_SIZES,
  _NO_ARGUMENT,
)
