"""Every file that a binary leaves in its `--output_dir`: the one table of them; tests hold folders against it."""

from typing import NamedTuple

_ROUNDS = ('language_model', 'text_classification', 'constrained_finetuning')
_TRAININGS = (*_ROUNDS, 'layerwise_ssl', 'pretrain')


class File(NamedTuple):
  """A file or a folder.

  Attributes:
    pattern: Its name, with `*` for what differs; a folder ends with `/`.
    binaries: Who leaves it.
    meaning: What it holds.
  """

  pattern: str
  binaries: tuple[str, ...]
  meaning: str


FILES = (
  File('config.json', (*_TRAININGS, 'export'), 'What the run is: flags, hashes, versions, commit.'),
  File('run.flags', _TRAININGS, 'Repeats the run: --flagfile=run.flags.'),
  File('metrics.csv', _TRAININGS, 'A row a round; of pretrain, an evaluation.'),
  File('summary.json', _TRAININGS, 'What came of it, once it has ended.'),
  File('heldout.csv', (*_ROUNDS, 'layerwise_ssl'), 'How the last model did on each client or example that judged it.'),
  File('model.safetensors', (*_ROUNDS, 'pretrain', 'export'), 'The newest weights by name, and what the model is.'),
  File('tokenizer.model', (*_ROUNDS, 'pretrain', 'export'), 'The tokenizer of a model of text.'),
  File(
    'checkpoints/', _ROUNDS, 'The three newest states, each with a checksum; a run goes on from the newest sound one.'
  ),
  File('training.safetensors', ('pretrain',), 'The state that a training goes on from.'),
  File('events.out.tfevents.*', _ROUNDS, 'The columns of metrics.csv for TensorBoard.'),
  File('log_id', _TRAININGS, 'With --log_to: what the run is known by there.'),
  File(
    'wandb/', _ROUNDS, 'With --log_to=wandb: what wandb sync would send; each process of the run leaves all rounds.'
  ),
  File('mlruns/', _TRAININGS, 'With --log_to=mlflow: what mlflow ui of the whole package shows.'),
  File('worker.log', _ROUNDS, "What TFF's worker printed."),
  File('perplexity.png', ('language_model',), 'Perplexity against rounds and megabytes.'),
  File('accuracy.png', ('text_classification', 'constrained_finetuning'), 'Accuracy against rounds and megabytes.'),
  File(
    'plan.md',
    ('constrained_finetuning',),
    'Who trains what, at which cost, and the accuracy of each group of devices.',
  ),
  File('stage_*/', ('layerwise_ssl',), 'A stage, which is a federated run of its own.'),
  File('stages.png', ('layerwise_ssl',), 'What the stages learned, and for how many megabytes.'),
  File('finetuned/', ('layerwise_ssl',), 'The fine-tuning at the end, with --finetune_steps only.'),
  File('finetuned_random/', ('layerwise_ssl',), 'The same of an encoder that learned nothing.'),
  File('client_cost.csv', ('client_cost',), 'A row a policy.'),
  File('client_cost.md', ('client_cost',), 'The same as a table.'),
  File('client_cost.png', ('client_cost',), 'Time and memory of each policy.'),
  File('index.html', ('compare',), 'One page with everything in it.'),
  File('comparison.md', ('compare',), 'The table of a comparison of runs.'),
  File('rounds.png', ('compare',), 'Quality against rounds.'),
  File('upload.png', ('compare',), 'Quality against megabytes uploaded.'),
  File('download.png', ('compare',), 'Quality against megabytes downloaded.'),
  File('pareto.png', ('compare',), 'Final quality against megabytes uploaded.'),
  File('epsilon.png', ('compare',), 'Final quality against epsilon, where some runs are private.'),
  File('clients.png', ('compare',), 'Final quality against the number of clients, where it varies.'),
  File('codecs.md', ('compare',), 'The table of --what=codecs.'),
  File('codecs.png', ('compare',), 'Its picture.'),
  File('policies.md', ('compare',), 'The table of --what=policies.'),
  File('policies.png', ('compare',), 'Its picture.'),
  File('evaluation.json', ('evaluate',), 'What was printed.'),
  File('vocab.txt', ('export',), 'The tokenizer of an encoder, or spiece.model or tokenizer.json.'),
  File('status.md', ('sweep',), 'The runs of the sweep and how far they are.'),
  File('logs/', ('sweep',), 'What each run printed.'),
  File('search/', ('sweep',), 'The runs of the search, and chosen.md.'),
  File('scale.png', ('benchmark',), 'The picture of --what=scale.'),
)
