"""A loop of one's own around a learning process, in the isolated worker that the suite's runs have.

python -m examples.own_loop
"""

# First: the suite's packages come before others of their names, and TensorFlow is quiet.
import experiments  # noqa: F401, I001
from data import catalog
from data import partitions
from data import prepare
from data import source as source_lib
from experiments import suite
from experiments.results import metrics
from models import language_task
from models import lstm
from optimizers import algorithms
from optimizers import fed_opt
from optimizers import local_batches


def train(source: source_lib.TextSource, rounds: int, clients_per_round: int) -> list[float]:
  """Trains on `source`, always on the same clients; returns the loss of each round, in nats a token."""
  text = prepare.prepare(source, partitions.natural())
  task = language_task.build(lstm.lstm(width=8, num_cells=8)(text.vocabulary_size), text.sequence_length)
  process = fed_opt.fed_adam()(task, algorithms.Communication(), local_batches.LocalBatches(batch_size=16), 0)
  clients = text.clients('train')
  examples = [clients.create_tf_dataset_for_client(client_id) for client_id in clients.client_ids[:clients_per_round]]
  losses = []
  with suite.runtime():
    state = process.initialize()
    for _ in range(rounds):
      state, measured = process.next(state, examples)
      losses.append(metrics.training_columns(measured, task.model.num_parameters)['train/loss'])
  return losses


if __name__ == '__main__':
  print(train(catalog.DATASETS['docstrings'](), rounds=3, clients_per_round=5))
