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
    embedding_width: Of the embeddings; an argument of ALBERT alone, in the others it is `width`.
    size: `tiny`, `small` or `base`; the other arguments override its dimensions.
    width: Of what passes from layer to layer.
    mlp_width: Hidden width of each layer's MLP.
    num_layers: Number of layers; of ALBERT, how often its one block is applied.
    num_heads: Attention heads; divides width.
    max_length: Longest sequence, in tokens.
    activation: Of the hidden layers, `gelu` or `gelu_new`; by default that of the published model.
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


def _configures(summary: str, builder: Callable[..., encoder.Encoder]) -> Callable[..., encoder.Encoder]:
  """Returns a builder that is documented as `_encoder` is, but for its first line."""
  builder.__doc__ = summary + _encoder.__doc__[_encoder.__doc__.index('\n') :]
  return builder


_SAME_WIDTH = None  # In place of `embedding_width`, which then is no argument.

bert = _configures('Configures BERT.', functools.partial(_encoder, encoder.BERT, BERT_SIZES, _SAME_WIDTH))
albert = _configures(
  'Configures ALBERT, all of whose layers are one block.', functools.partial(_encoder, encoder.ALBERT, ALBERT_SIZES)
)
distilbert = _configures(
  "Configures DistilBERT: half of BERT's layers, and no part of the head for classes pre-trained.",
  functools.partial(_encoder, encoder.DISTILBERT, DISTILBERT_SIZES, _SAME_WIDTH),
)
