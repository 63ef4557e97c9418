"""Names of settings: no more than what differs, in words, and never the same for two."""

import pytest

from experiments.comparisons import labels

_ADAM = 'fed_adam(client_lr=1.0, server_lr={})'


@pytest.mark.parametrize(
  ('settings', 'names'),
  [
    (
      [
        {'algorithm': _ADAM.format(0.03), 'trainable': 'all', 'upload': 'identity'},
        {'algorithm': _ADAM.format(0.005), 'trainable': 'all', 'upload': 'identity', 'pretrained': 'runs/a'},
        {
          'algorithm': _ADAM.format(0.002), 'trainable': 'random(fraction=0.4, resample="client")',
          'upload': 'uniform(bits=8)', 'pretrained': 'runs/a',
        },
      ],
      ['full, 32 bits, from scratch', 'full, 32 bits, warm start', '40 % trained, 8 bits, warm start'],
    ),
    (
      [{'model': 'lstm(size="small")', 'trainable': 'all'}, {'model': 'transformer', 'trainable': 'head'}],
      ['LSTM, full', 'Transformer, head'],
    ),
    ([{'model': 'lstm(size="small")'}, {'model': 'lstm(size="large")'}], ['LSTM small', 'LSTM large']),
    ([{'algorithm': _ADAM.format(0.03)}, {'algorithm': _ADAM.format(0.01)}], ['server rate 0.03', 'server rate 0.01']),
    (
      [{'upload': 'uniform(bits=8)', 'download': 'identity'}, {'upload': 'clip|uniform(bits=1)', 'download': 'sign'}],
      ['up 8 bits, down 32 bits', 'up clip + 1 bit, down sign'],
    ),
    ([{'pretrained': 'runs/a'}, {'pretrained': 'runs/b'}], ['from a', 'from b']),
    ([{'model': 'bert', 'pretrained': 'a/tiny_bert'}, {'model': 'albert', 'pretrained': 'a/tiny_albert'}], ['BERT', 'ALBERT']),
    ([{'pretrained': 'runs/a'}, {'pretrained': 'runs/b'}, {}], ['from a', 'from b', 'from scratch']),
    ([{'client_dropout': 'none'}, {'client_dropout': 'uniform_rate(rate=0.5)'}], ['no client dropout', 'uniform rate']),
    (
      [{'trainable': f'random(fraction=0.4, resample="{each}")'} for each in ('client', 'round', 'never')],
      ['40 % trained resample client', '40 % trained resample round', '40 % trained resample never'],
    ),
    ([{'upload': 'uniform'}, {'upload': 'uniform(bits=4)'}], ['uniform', '4 bits']),
    ([{'trainable': 'random'}, {}], ['random', 'no trainable']),
    (
      [{'algorithm': 'fed_adam(client_schedule="linear(rounds=11)")'}, {'algorithm': 'fed_adam'}],
      ['FedAdam client schedule linear 11 rounds', 'FedAdam'],
    ),
    ([{'devices': 'tiers(memory_mb=[50, 60])'}, {'devices': 'tiers(memory_mb=[90])'}], ['memory MB 50 60', 'memory MB 90']),
    ([{'partition': 'iid(clients=1)'}, {'partition': 'iid(clients=20)'}], ['1 client', '20 clients']),
    ([{'client_lr': 3}, {'client_lr': 10}], ['client rate 3', 'client rate 10']),
    ([{'deterministic': True}, {'deterministic': False}], ['deterministic', 'no deterministic']),
    ([{'data set': 'abcdef01'}, {'data set': '98765432'}], ['data set abcdef01', 'data set 98765432']),
    ([{'model': 'lstm', 'upload': 'sign'}], ['LSTM']),
  ],
)  # fmt: skip
def test_plain_names(settings, names):
  assert labels.plain(settings) == names


@pytest.mark.parametrize(
  'settings',
  [
    [{'trainable': 'a(x=1)'}, {'trainable': 'a(x="1")'}, {'trainable': 'a(x=2)'}],
    [{'pretrained': 'runs/a/last'}, {'pretrained': 'runs/b/last'}],
    [{'upload': 'topk(fraction=0.1, ties="low")'}, {'upload': 'topk(fraction=0.1)'}],
  ],
)
def test_names_are_never_the_same(settings):
  assert len(set(labels.plain(settings))) == len(settings)


def test_words_that_are_the_same_for_two_settings_give_way_to_the_exact_ones():
  settings = [{'pretrained': 'runs/a/last'}, {'pretrained': 'runs/b/last'}]
  assert labels.plain(settings) == labels.exact(settings) == ['runs/a/last', 'runs/b/last']


def test_objects_of_a_script_are_called_what_they_say_of_themselves():
  named = [{'upload': f'hadamard|object(name={name!r})'} for name in ('Own(bits=3)', 'Own(bits=4)', 'what <is> this')]
  assert labels.plain(named) == ['hadamard + Own 3 bits', 'hadamard + Own 4 bits', 'hadamard + what <is> this']
  assert labels.exact(named)[:2] == ['hadamard|Own(bits=3)', 'hadamard|Own(bits=4)']


def test_plugins_are_called_by_file_and_hash():
  named = [{'model': 'lstm', 'plugin': ['/a/mine.py#sha256=0123456789abcdef', 'b.py']}, {'model': 'lstm'}]
  assert labels.plain(named) == ['mine.py 01234567 and b.py', 'no plug-in']
