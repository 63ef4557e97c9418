"""A BERT of width 2 that can be worked out by hand: it tells whether a text has more of `good` or of `bad`.

Weights are zero but for these. The rows of `good` and `bad` in the table are (1, -1) and (-1, 1), so that norms leave them
as they are; all other rows are zero and stay zero. Scores of attention are equal, and values pass unchanged: the first
position, itself zero, gets the mean over the text, (m, -m), of which the norm makes (1, -1) if m > 0, (-1, 1) if m < 0
and (0, 0) if m = 0. The pooler makes (t, -t) of (1, -1), where t = tanh 1, and the classifier multiplies it by
ln 3 / (2 t). The logits then differ by ln 3: the probabilities are 3/4 and 1/4, or 1/2 each for (0, 0).
"""

import pathlib

import numpy as np

from experiments.command import device_specs
from models import catalog
from models import checkpoint

CLASSES = ('good', 'bad')
LENGTH = 8  # Tokens: [CLS], six words, [SEP].

_PIECES = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'good', 'bad', 'film')


def save(
  folder: pathlib.Path, class_names: tuple[str, ...] = CLASSES, trainable: str = 'all', **options
) -> pathlib.Path:
  """Leaves the classifier as a run does; `options` are those of the encoder."""
  folder.mkdir(exist_ok=True)
  encoder = catalog.ENCODERS['bert'](width=2, mlp_width=2, num_layers=1, num_heads=1, max_length=12, **options)
  model = encoder.classifier(len(_PIECES), 2)
  model = device_specs.adapt(device_specs.build(trainable), model, 0, trainable)
  weights = {each.name: np.zeros(each.shape, np.float32) for each in model.variables}
  weights |= {name: np.ones_like(value) for name, value in weights.items() if name.endswith('norm_scale')}
  weights['embedding/table'][5:7] = [[1, -1], [-1, 1]]
  for name in ('block_0/attention/value_kernel', 'block_0/attention/output_kernel', 'head/pooler_kernel'):
    weights[name] = np.eye(2, dtype=np.float32)
  weights['head/classifier_kernel'] = np.eye(2, dtype=np.float32) * np.float32(np.log(3) / (2 * np.tanh(1)))
  serialized = b'wordpiece uncased\n' + '\n'.join(_PIECES).encode()
  description = checkpoint.Description(
    encoder.spec, len(_PIECES), LENGTH, serialized, trainable, class_names=class_names
  )
  checkpoint.save(folder, weights, description, 3)
  (folder / 'config.json').write_text('{"settings": {}}')
  return folder
