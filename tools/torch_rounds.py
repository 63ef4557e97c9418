"""Rounds of federated averaging in plain PyTorch: a contender of `experiments.benchmark --against=torch`.

    python tools/torch_rounds.py W2 tokens.npy 2
    python tools/torch_rounds.py W2 tokens.npy 2 bfloat16

The benchmark runs it with a Python that has PyTorch, which the suite itself does not need (2.13.0 was used). It deals the
clients of tokens.npy, int [clients, examples, length + 1], to so many processes of one thread each, whose weights lie in
memory that all share: the fastest way here, without anything around it that a framework would add. A line on standard
input asks for a round, a line on standard output says that it is done; it ends with its input. With bfloat16 the model and
the loss are computed under PyTorch's automatic mixed precision.
"""

import itertools
import sys

import numpy as np
import torch
from torch import multiprocessing
from torch import nn

_BATCH_SIZE, _LEARNING_RATE = 16, 0.1
_VOCABULARY_SIZE = 4000


class _Recurrent(nn.Module):
  """Embedding of 96, LSTM, dense layers without activation."""

  def __init__(self, vocabulary_size: int, num_cells: int, *widths: int):
    super().__init__()
    self.embedding = nn.Embedding(vocabulary_size, 96)
    self.lstm = nn.LSTM(96, num_cells, batch_first=True)
    sizes = [num_cells, *widths, vocabulary_size]
    self.output = nn.Sequential(*(nn.Linear(*pair) for pair in itertools.pairwise(sizes)))

  def forward(self, tokens: torch.Tensor) -> torch.Tensor:
    return self.output(self.lstm(self.embedding(tokens))[0])


class _Block(nn.Module):
  """Attention and an MLP, each after a layer norm and added to what it read."""

  def __init__(self, width: int, num_heads: int, mlp_width: int):
    super().__init__()
    self.num_heads = num_heads
    self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
    self.query_key_value, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
    self.mlp = nn.Sequential(nn.Linear(width, mlp_width), nn.ReLU(), nn.Linear(mlp_width, width))

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    heads = self.query_key_value(self.norms[0](x)).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
    attended = nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
    x = x + self.projection(attended.transpose(1, 2).flatten(2))
    return x + self.mlp(self.norms[1](x))


def _transformer() -> nn.Module:
  return nn.Sequential(
    nn.Embedding(_VOCABULARY_SIZE, 128),
    *(_Block(128, 8, 512) for _ in range(4)),
    nn.LayerNorm(128),
    nn.Linear(128, _VOCABULARY_SIZE),
  )


_WORKLOADS = {
  'W1': lambda: _Recurrent(_VOCABULARY_SIZE, 256),
  'W2': _transformer,
  'W': lambda: _Recurrent(10_004, 670, 96),
}


def _train(model: nn.Module, examples: torch.Tensor, precision: str) -> None:
  """One local epoch of SGD in a random order."""
  optimizer = torch.optim.SGD(model.parameters(), _LEARNING_RATE)
  for batch in examples[torch.randperm(len(examples))].split(_BATCH_SIZE):
    with torch.autocast('cpu', torch.bfloat16, enabled=precision == 'bfloat16'):
      logits = model(batch[:, :-1])
      loss = nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _serve(
  name: str, precision: str, clients: torch.Tensor, received: torch.Tensor, total: torch.Tensor, turns, done
) -> None:
  """Trains its clients in each turn, from the weights received, and leaves the sum of the trained ones."""
  torch.set_num_threads(1)
  model = _WORKLOADS[name]()
  while turns.get():
    total.zero_()
    for examples in clients:
      nn.utils.vector_to_parameters(received.clone(), model.parameters())
      _train(model, examples, precision)
      total.add_(nn.utils.parameters_to_vector(model.parameters()).detach())
    done.put(None)


def main(name: str, tokens: str, num_processes: str, precision: str = 'float32') -> None:
  """Does rounds on demand."""
  clients = torch.from_numpy(np.load(tokens).astype(np.int64))
  weights = nn.utils.parameters_to_vector(_WORKLOADS[name]().parameters()).detach().share_memory_()
  context = multiprocessing.get_context('spawn')
  done, servers = context.Queue(), []
  for number in range(int(num_processes)):
    total, turns = torch.zeros_like(weights).share_memory_(), context.Queue()
    arguments = (name, precision, clients[number :: int(num_processes)], weights, total, turns, done)
    context.Process(target=_serve, args=arguments, daemon=True).start()
    servers.append((total, turns))
  for _ in sys.stdin:
    for _, turns in servers:
      turns.put(True)
    for _ in servers:
      done.get()
    weights.copy_(sum(total for total, _ in servers) / len(clients))
    print('done', flush=True)


if __name__ == '__main__':
  main(*sys.argv[1:])
