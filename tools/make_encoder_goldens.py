"""Makes the small checkpoints in tests/models/golden/ and what the reference implementation computes with them.

    python tools/make_encoder_goldens.py tests/models/golden

It needs torch and transformers, which the suite itself does not: run it in an environment of its own (torch 2.13.0 and
transformers 5.23.0 made those that are there). For each family there is a folder with a classifier and one with the heads
of pre-training, each written by `save_pretrained`, and beside them

    expected.npz    tokens, hidden (padding hidden), hidden_unmasked (padding seen), logits (padding hidden)
"""

import pathlib
import sys

import numpy as np
import torch
import transformers

_DIMENSIONS = dict(
  vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_labels=3
)
_DISTILBERT_DIMENSIONS = dict(vocab_size=40, dim=16, hidden_dim=24, n_layers=2, n_heads=4, num_labels=3)
_MODELS = {
  'bert_classifier': (transformers.BertForSequenceClassification, transformers.BertConfig, _DIMENSIONS),
  'bert_pretraining': (transformers.BertForPreTraining, transformers.BertConfig, _DIMENSIONS),
  'albert_classifier': (
    transformers.AlbertForSequenceClassification,
    transformers.AlbertConfig,
    dict(_DIMENSIONS, embedding_size=8),
  ),
  'albert_pretraining': (
    transformers.AlbertForPreTraining,
    transformers.AlbertConfig,
    dict(_DIMENSIONS, embedding_size=8, hidden_act='gelu'),  # The classifier has the default, gelu_new.
  ),
  'distilbert_classifier': (
    transformers.DistilBertForSequenceClassification,
    transformers.DistilBertConfig,
    _DISTILBERT_DIMENSIONS,
  ),
  'distilbert_pretraining': (
    transformers.DistilBertForMaskedLM,
    transformers.DistilBertConfig,
    _DISTILBERT_DIMENSIONS,
  ),
}
_TOKENS = [[2, 17, 31, 5, 39, 8, 3], [2, 25, 6, 3, 0, 0, 0]]  # The second ends in padding.


def _expected(model: transformers.PreTrainedModel) -> dict[str, np.ndarray]:
  tokens = torch.tensor(_TOKENS)
  mask = (tokens != 0).long()
  with torch.no_grad():
    masked = model(tokens, attention_mask=mask, output_hidden_states=True)
    unmasked = model(tokens, attention_mask=torch.ones_like(tokens), output_hidden_states=True)
  logits = masked.prediction_logits if hasattr(masked, 'prediction_logits') else masked.logits
  return dict(
    tokens=np.array(_TOKENS, np.int32),
    hidden=masked.hidden_states[-1].numpy(),
    hidden_unmasked=unmasked.hidden_states[-1].numpy(),
    logits=logits.numpy(),
  )


def main() -> None:
  """Writes the folders."""
  root = pathlib.Path(sys.argv[1])
  for seed, (name, (model_class, config_class, dimensions)) in enumerate(_MODELS.items()):
    model = model_class(config_class(max_position_embeddings=10, **dimensions)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
      for (
        parameter
      ) in model.parameters():  # Fresh biases are zero and fresh scales one: a forgotten one would not show.
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3 + (parameter == 1.0).float())
    model.save_pretrained(root / name)
    np.savez_compressed(root / name / 'expected.npz', **_expected(model))


if __name__ == '__main__':
  main()
