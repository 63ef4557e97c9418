"""Small runs of every function of the suite, each by names of a plug-in and by objects in their place."""

from collections.abc import Callable
from collections.abc import Mapping
import pathlib
from typing import Any
from typing import NamedTuple

import numpy as np

from compression import chain
from compression import codec
from compression.stages import uniform
from experiments.limits import device_limits
from experiments.workers import runtimes
from optimizers import devices
from optimizers import selection
from optimizers import stages
from tests.experiments import every_table as own
from tests.experiments import tiny_family

PLUGIN = pathlib.Path(own.__file__)
_RUN = dict(rounds=1, rounds_per_eval=1, clients_per_round=2)


class Places(NamedTuple):
  """What runs learn from.

  Attributes:
    text: A folder for `notes`.
    authors: A file for `authors`.
    recipes: A folder of recipes.
    run: From the name of a case to its run.
  """

  text: str
  authors: str
  recipes: str
  run: Callable[[str], Any]


class Case(NamedTuple):
  """A run.

  Attributes:
    function: One of `experiments.suite`.
    plain: Its flags that take no spec, or one that is not of the plug-in; from what it learns from.
    named: Flags by names of the plug-in; likewise.
    given: The same by objects.
  """

  function: str
  plain: Callable[[Places], Mapping[str, Any]]
  named: Callable[[Places], Mapping[str, str]]
  given: Callable[[Places], Mapping[str, Any]]


def places(folder: pathlib.Path, run: Callable[[str], Any]) -> Places:
  """Writes what runs learn from."""
  text, authors = folder / 'texts', folder / 'authors.csv'
  for client in range(12):
    (text / f'client_{client}').mkdir(parents=True)
    (text / f'client_{client}' / 'a.txt').write_text('\n'.join(f'cat {client} sat on mat {n}.' for n in range(3)))
  rng, rows = np.random.default_rng(0), []
  for number in range(60):
    words = ' '.join(f'{"abc"[number % 3]}{word}' for word in rng.integers(0, 6, 6))
    rows.append(f'id{number},{words},{("EAP", "HPL", "MWS")[number % 3]}')
  authors.write_text('\n'.join(['id,text,author', *rows]) + '\n')
  of_recipes = f'text(path={str(text)!r}, vocabulary="characters", sequence_length=8)'
  recipes = tiny_family.write(folder / 'recipes', (1,), of_recipes)
  return Places(str(text), str(authors), str(recipes), run)


def _every_run(**flags: str) -> dict[str, str]:
  """Returns what training in rounds may name of a plug-in."""
  shared = dict(
    partition='fours',
    algorithm='slow_avg(client_lr=0.2, client_schedule="halved()")',
    client_dropout='rarely(rate=0.02)',
    upload='concat|negated|uniform(bits=8)',
    download='concat|negated',
    runtime='here',
  )
  return shared | flags


def _every_object(**flags: Any) -> dict[str, Any]:
  """Returns the objects of `_every_run`."""
  shared = dict(
    partition=own.fours(),
    algorithm=own.slow_avg(client_lr=0.2, client_schedule=own.halved()),
    client_dropout=own.rarely(rate=0.02),
    upload=['concat', own.Negated(), 'uniform(bits=8)'],
    download=['concat', own.Negated()],
    runtime=runtimes.start_worker,
  )
  return shared | flags


CASES = {
  'language': Case(
    'language_model',
    lambda at: _RUN | dict(client_weighting='uniform'),
    lambda at: _every_run(
      dataset=f'notes(path={at.text!r})',
      model='small_lstm(width=8)',
      upload='concat|small_as(codec="negated|uniform(bits=8)", size=9)|negated|uniform(bits=4)|rans',
      trainable='top',
      privacy='coins(noise_multiplier=0.02)',
      devices='tiers(shares=[0.5, 0.5], blocks=[1, 1])',
    ),
    lambda at: _every_object(
      dataset=own.notes(path=at.text),
      model=own.small_lstm(width=8),
      upload=[
        'concat',
        chain.SmallAs(codec.Codec([own.Negated(), uniform.Uniform(bits=8)]), size=9),
        own.Negated(),
        'uniform(bits=4)|rans',
      ],
      privacy=own.coins(noise_multiplier=0.02),
      devices=devices.Devices((own.Top(blocks=1), own.Top(blocks=1)), (0.5, 0.5)),
    ),
  ),
  'selecting': Case(
    'language_model',
    lambda at: _RUN | dict(download='select(vocabulary=8)'),
    lambda at: dict(
      dataset=f'notes(path={at.text!r})',
      model='small_lstm',
      algorithm='slow_avg',
      upload='coarse(initial_step=0.02)',
    ),
    lambda at: dict(
      dataset=own.notes(path=at.text),
      model=own.small_lstm(),
      algorithm=own.slow_avg(),
      upload=own.Coarse(initial_step=0.02),
      download=selection.Selection(vocabulary=8),
    ),
  ),
  'central': Case(
    'pretrain',
    lambda at: dict(steps=1, batch_size=4),
    lambda at: dict(dataset=f'notes(path={at.text!r})', corpus=f'notes(path={at.text!r})', model='small_lstm'),
    lambda at: dict(dataset=own.notes(at.text), corpus=own.notes(at.text), model=own.small_lstm()),
  ),
  'encoder': Case(
    'pretrain',
    lambda at: dict(steps=1, batch_size=4),
    lambda at: dict(
      dataset=f'notes(path={at.text!r})', corpus=f'notes(path={at.text!r})', model='small_bert(num_layers=1)'
    ),
    lambda at: dict(dataset=own.notes(at.text), corpus=own.notes(at.text), model=own.small_bert(num_layers=1)),
  ),
  'teacher': Case(
    'pretrain',
    lambda at: dict(steps=1, batch_size=4),
    lambda at: dict(dataset=f'notes(path={at.text!r})', corpus=f'notes(path={at.text!r})', model='thin_bert'),
    lambda at: dict(dataset=own.notes(at.text), corpus=own.notes(at.text), model=own.thin_bert()),
  ),
  'taught': Case(
    'pretrain',
    lambda at: dict(steps=1, batch_size=4, teacher=at.run('teacher')),
    lambda at: dict(dataset=f'notes(path={at.text!r})', corpus=f'notes(path={at.text!r})', model='thin_distilbert'),
    lambda at: dict(dataset=own.notes(at.text), corpus=own.notes(at.text), model=own.thin_distilbert()),
  ),
  'images': Case(
    'pretrain',
    lambda at: dict(steps=1, batch_size=4),
    lambda at: dict(dataset='few_digits(num=3)', model='small_vit(num_layers=1)'),
    lambda at: dict(dataset=own.few_digits(num=3), model=own.small_vit(num_layers=1)),
  ),
  'warm': Case(
    'language_model',
    lambda at: _RUN | dict(pretrained=at.run('central'), rounds=0),
    lambda at: dict(dataset=f'notes(path={at.text!r})', model='small_lstm', trainable='top'),
    lambda at: dict(dataset=own.notes(at.text), model=own.small_lstm(), trainable=own.Top()),
  ),
  'classified': Case(
    'text_classification',
    lambda at: _RUN | dict(pretrained=at.run('encoder')),
    lambda at: _every_run(
      dataset=f'authors(path={at.authors!r})', model='small_bert(num_layers=1)', trainable='top', privacy='coins'
    ),
    lambda at: _every_object(
      dataset=own.authors(at.authors), model=own.small_bert(num_layers=1), trainable=own.Top(), privacy=own.coins()
    ),
  ),
  'layers_of_text': Case(
    'layerwise_ssl',
    lambda at: _RUN | dict(probe_examples=30),
    lambda at: _every_run(
      dataset=f'authors(path={at.authors!r})',
      vocabulary=f'notes(path={at.text!r})',
      model='small_bert(num_layers=1)',
      stages='at_once',
      objective='masked_language',
    ),
    lambda at: _every_object(
      dataset=own.authors(at.authors),
      vocabulary=own.notes(at.text),
      model=own.small_bert(num_layers=1),
      stages=own.at_once(),
    ),
  ),
  'layers_of_images': Case(
    'layerwise_ssl',
    lambda at: _RUN | dict(probe_examples=20),
    lambda at: _every_run(
      dataset='few_digits',
      model='small_vit(num_layers=1)',
      objective='warm_simclr(temperature=0.4)',
      stages='at_once',
    ),
    lambda at: _every_object(
      dataset=own.few_digits(),
      model=own.small_vit(num_layers=1),
      objective=own.warm_simclr(temperature=0.4),
      stages=stages.end_to_end(),
    ),
  ),
  'limits': Case(
    'constrained_finetuning',
    lambda at: _RUN | dict(client_weighting='uniform'),
    lambda at: _every_run(
      dataset=f'notes(path={at.text!r})',
      model=f'shallow(recipes={at.recipes!r})',
      trainable='last_blocks',
      devices='tiers(shares=[0.5, 0.5], memory_mb=[50, 60])',
      privacy='coins',
    ),
    lambda at: _every_object(
      dataset=own.notes(at.text),
      model=own.shallow(recipes=at.recipes),
      trainable=own.last_blocks(),
      devices=[device_limits.Tier(number, 0.5, dict(memory_mb=50.0 + 10 * number)) for number in range(2)],
      privacy=own.coins(),
    ),
  ),
}
