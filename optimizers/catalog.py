"""The catalogues of algorithms (`--algorithm`) and policies (`--trainable`): names to builders.

A new one is its builder and one line here.
"""

from optimizers import algorithms
from optimizers import policies

ALGORITHMS = {
  'fed_adam': algorithms.fed_adam,
  'fed_avg': algorithms.fed_avg,
}

POLICIES = {
  'all': policies.all_,
  'random': policies.random,
  'frozen': policies.frozen,
  'suffix': policies.suffix,
  'lora': policies.lora,
  'adapter': policies.adapter,
  'bias': policies.bias,
  'head': policies.head,
  'width': policies.width,
}
