"""The catalogues of algorithms (`--algorithm`), their schedules, policies (`--trainable`) and `--client_dropout`.

They map names to builders; a new one is its builder and one line here.
"""

from optimizers import client_dropout
from optimizers import fed_opt
from optimizers import local_adam
from optimizers import mime_lite
from optimizers import policies
from optimizers import schedules

ALGORITHMS = {
  'fed_adam': fed_opt.fed_adam,
  'fed_avg': fed_opt.fed_avg,
  'fed_avgm': fed_opt.fed_avgm,
  'fed_adagrad': fed_opt.fed_adagrad,
  'fed_yogi': fed_opt.fed_yogi,
  'fed_prox': fed_opt.fed_prox,
  'local_adam': local_adam.local_adam,
  'mime_lite': mime_lite.mime_lite,
}

SCHEDULES = {
  'constant': schedules.constant,
  'linear': schedules.linear,
  'cosine': schedules.cosine,
  'exponential': schedules.exponential,
  'inverse_sqrt': schedules.inverse_sqrt,
}

POLICIES = {
  'all': policies.All,
  'random': policies.Random,
  'frozen': policies.Frozen,
  'suffix': policies.Suffix,
  'lora': policies.Lora,
  'adapter': policies.Adapter,
  'bias': policies.Bias,
  'head': policies.Head,
  'width': policies.Width,
}

CLIENT_DROPOUTS = {
  'none': client_dropout.none,
  'bernoulli': client_dropout.bernoulli,
}
