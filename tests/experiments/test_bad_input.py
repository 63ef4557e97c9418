"""Whatever a user can get wrong ends in one line that helps and exit code 2, before training and without a trace."""

import pathlib
import subprocess
import sys

import pytest

from experiments import language_model
from experiments.command import launch
from tests import binaries

_PRIVATE = {'privacy': 'gaussian(clip=1, noise_multiplier=1, delta=1e-5)', 'client_weighting': 'uniform'}
_ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _parsed(monkeypatch, tmp_path):
  monkeypatch.setenv('LEANFED_CACHE', str(tmp_path / 'cache'))


def _text(folder: pathlib.Path) -> str:
  for client in 'abcd':
    (folder / client).mkdir(parents=True)
    (folder / client / 'x.txt').write_text('A cat sat. A dog ran.')
  return f'text(path={str(folder)!r})'


def _refusal(capsys, **settings) -> str:
  with pytest.raises(SystemExit) as exit_:
    launch.guarded(lambda: language_model.main(language_model.FLAGS.read(settings)), ['language_model'])
  assert exit_.value.code == 2
  message = capsys.readouterr().err
  lines = [line for line in message.splitlines() if line.startswith('error: ')]
  assert len(lines) == 1, message
  return lines[0]


@pytest.mark.parametrize(
  ('settings', 'expected'),
  [
    ({'model': 'lsmt'}, "did you mean 'lstm'?); choose one of conformer, lstm, transformer"),
    ({'model': 'lstm(widht=3)'}, "no argument 'widht' (did you mean 'width'?)"),
    ({'model': 'lstm(size="huge")'}, "size must be one of tiny, small, large, not 'huge'"),
    ({'model': 'lstm|transformer'}, 'choose one of'),
    ({'upload': 'uniform(bits=0)'}, 'bits must be a whole number from 1 to 16, not 0'),
    ({'upload': 'uniform(levels=1)'}, 'levels must be a whole number from 2 to 65,536, not 1'),
    (
      {'upload': 'uniform(bits=8, levels=3)'},
      'bits and levels both say how fine the quantization is: give one of them',
    ),
    ({'upload': 'uniform(level=3)'}, "no argument 'level' (did you mean 'levels'?); it takes bits, levels"),
    ({'upload': 'uniform(levels=5000)|rans'}, 'rans takes at most 4096 levels, not 5000'),
    ({'upload': 'gzip'}, 'choose one of identity, concat, small_as, '),
    ({'upload': 'uniform|uniform'}, 'uniform encodes floats, but uniform leaves levels'),
    ({'upload': 'uniform|concat'}, 'concat is about whole variables: put it before the stages'),
    ({'upload': 'small_as(codec="unifrom")|uniform'}, "did you mean 'uniform'?"),
    ({'upload': 'small_as(size=0)'}, 'size must be a whole number'),
    (
      {'upload': 'small_as(codec="concat|sign")|sign'},
      "'concat' joins large variables, too: write concat|small_as(...)",
    ),
    ({'upload': 'small_as(codec="small_as|sign")|sign'}, "'small_as' is not for one inside another: name one size"),
    ({'upload': 'small_as(codec="rate_distortion")|sign'}, "'rate_distortion' is a whole codec, which stands alone"),
    ({'upload': 'small_as(codec=3)|sign'}, "3 is no spec: write one in quotes, such as 'uniform(bits=8)'"),
    ({'upload': 'small_as|small_as(size=9)|sign'}, 'small_as is there twice: keep one'),
    ({'download': 'uniform(8)'}, 'uniform(argument=value)'),
    ({'algorithm': 'fed_adam(client_lr=-1)'}, 'client_lr must be a positive number, not -1'),
    ({'algorithm': 'sgd'}, 'choose one of fed_adam, fed_avg, '),
    ({'dataset': 'docstring'}, "did you mean 'docstrings'?"),
    (
      {'dataset': 'docstring_packages'},
      "dataset 'docstring_packages' has texts with classes, for experiments.text_classification and layerwise_ssl",
    ),
    ({'dataset': 'digits'}, 'has images, for experiments.constrained_finetuning'),
    ({'model': 'bert'}, 'is an encoder of texts, for experiments.text_classification'),
    ({'dataset': 'text(path="/nowhere/at/all")'}, '/nowhere/at/all'),
    ({'dataset': 'docstrings(min_tokens=-1)'}, 'min_tokens'),
    ({'partition': 'iid(clients=0)'}, 'clients'),
    ({'client_dropout': 'bernouli(rate=0.1)'}, "did you mean 'bernoulli'?); choose one of none, bernoulli"),
    ({'client_dropout': 'bernoulli(rate=1)'}, 'rate must lie in [0, 1), not 1'),
    ({'client_dropout': 'bernoulli'}, 'bernoulli needs rate=...'),
    ({'privacy': 'gausian'}, "did you mean 'gaussian'?); choose one of none, gaussian, adaptive_clip, tree, blt"),
    ({'privacy': 'gaussian(noise_multiplier=1)'}, 'gaussian needs clip=...'),
    ({'privacy': 'gaussian(clip=0, noise_multiplier=1)'}, 'clip must lie in [1e-9, 1e9], not 0'),
    ({'privacy': 'tree(clip=1)'}, 'give noise_multiplier or epsilon'),
    ({'partition': 'dirichlet(alpha=0, clients=3)'}, 'alpha'),
    ({'output_dir': None}, '--output_dir is missing'),
  ],
)
def test_refuses(settings, expected, capsys, tmp_path):
  output_dir = tmp_path / 'run'
  message = _refusal(capsys, **({'output_dir': str(output_dir), 'rounds': 1} | settings))
  assert expected in message
  assert not output_dir.exists()


@pytest.mark.parametrize(
  ('settings', 'expected'),
  [
    ({'epsilon_budget': 1.0}, '--epsilon_budget needs --privacy'),
    ({'privacy': 'gaussian(clip=1, noise_multiplier=1)'}, 'use --client_weighting=uniform'),
    (_PRIVATE | {'algorithm': 'mime_lite'}, 'mime_lite sends gradients too'),
    (_PRIVATE | {'upload': 'rate_distortion'}, 'does not change from round to round'),
    (_PRIVATE | {'trainable': 'random(fraction=0.5)'}, 'use denominator="all" in --trainable'),
    (_PRIVATE | {'epsilon_budget': 0.01}, '--epsilon_budget=0.01 does not last for a round, which comes to'),
    (
      _PRIVATE | {'privacy': 'gaussian(clip=1, epsilon=1e-9, delta=1e-9)'},
      'no noise multiplier up to 10,000 keeps epsilon at 1e-09',
    ),
    (
      _PRIVATE | {'privacy': 'blt(clip=1, epsilon=1, delta=1e-5, separation=9)'},
      'separation=9 needs 18 clients or more, and there are 3',
    ),
    (_PRIVATE | {'privacy': 'gaussian(clip=1, noise_multiplier=1)'}, 'of 3 clients delta would be 0.3: give one'),
    ({'download': 'select(vocabulary=3)'}, 'vocabulary must be a whole number of at least 4, not 3'),
    ({'download': 'select(vocabulary=999999)'}, 'sub-words: lower it'),
    ({'download': 'select(neurons=0)'}, 'neurons must lie in (0, 1], not 0'),
    ({'download': 'select(heads=2)'}, 'heads must lie in (0, 1], not 2'),
    ({'download': 'select(blocks=99)'}, 'blocks=99, but the model has'),
    ({'download': 'select(blocks=1)', 'model': 'lstm(num_layers=2)'}, 'blocks needs a model of residual blocks'),
    ({'download': 'select'}, 'name what to select'),
    ({'trainable': 'random(fraction=0)'}, 'fraction must lie in (0, 1], not 0'),
    ({'trainable': 'random(fraction=1.5)'}, 'fraction must lie in (0, 1], not 1.5'),
    ({'trainable': 'width(fraction=-0.5)'}, 'fraction must lie in (0, 1], not -0.5'),
    ({'trainable': 'suffix(blocks=0)'}, 'blocks must be a whole number of at least 1, not 0'),
    ({'trainable': 'suffix(blocks=99)'}, 'blocks=99, but the model has'),
    ({'trainable': 'lora(rank=0)'}, 'rank'),
    ({'trainable': 'head', 'devices': 'tiers(shares=[0.5, 0.4])'}, 'shares'),
    ({'trainable': 'suffix', 'devices': 'tiers(shares=[0.5, 0.5], blocks=[1, 99])'}, 'blocks=99, but the model has'),
    (
      {'trainable': 'random', 'devices': 'tiers(shares=[0.5, 0.5], fraction=[0.5, 0.0])'},
      'fraction must lie in (0, 1]',
    ),
    ({'trainable': 'random', 'devices': 'tiers(shares=[0.5, 0.5], fraction=[0.5])'}, 'fraction'),
    ({'algorithm': 'mime_lite', 'upload': 'concat|sign'}, 'leave out concat'),
    ({'algorithm': 'mime_lite', 'upload': 'rate_distortion'}, 'use another codec than rate_distortion'),
  ],
)
def test_refuses_parts(settings, expected, capsys, tmp_path):
  dataset, output_dir = _text(tmp_path / 'text'), tmp_path / 'run'
  settings = {'model': 'transformer(size="tiny")', 'clients_per_round': 2} | settings
  assert expected in _refusal(capsys, dataset=dataset, output_dir=str(output_dir), **settings)
  assert not output_dir.exists()


def test_refuses_more_clients_than_there_are(capsys, tmp_path):
  dataset = _text(tmp_path / 'text')
  settings = {'dataset': dataset, 'output_dir': str(tmp_path / 'run'), 'clients_per_round': 9}
  assert 'clients_per_round=9, but only 3 clients train: lower it' in _refusal(capsys, **settings)
  assert not (tmp_path / 'run').exists()


def test_refuses_an_empty_data_set(capsys, tmp_path):
  (tmp_path / 'text' / 'client').mkdir(parents=True)
  (tmp_path / 'text' / 'client' / 'x.txt').write_text('   ')
  dataset = f'text(path={str(tmp_path / "text")!r})'
  message = _refusal(capsys, dataset=dataset, output_dir=str(tmp_path / 'run'))
  assert 'no training text' in message or 'no heldout' in message


_ONE = '{"client": "a", "text": "b"}\n'
_LEAF = '{"users": ["a"], "user_data": {"a": {"x": ["b c"], "y": ["d"]}}}'


@pytest.mark.parametrize(
  ('name', 'content', 'said'),
  [
    ('one.jsonl', _ONE, 'no heldout client of the data set has an example: what is evaluated is held out, so give'),
    ('blank.jsonl', _ONE + '{"client": "b", "text": " "}', 'give examples of two clients at least'),
    ('nothing.jsonl', '\ufeff\n', 'data set text has no training text'),
    ('number.jsonl', _ONE + '{"client": 1.5, "text": "b"}', 'line 2 has the client 1.5, which is neither text nor'),
    ('latin.jsonl', _ONE.encode() + b'{"client": "a", "text": "caf\xe9"}', 'line 2 is not UTF-8'),
    ('empty.jsonl', '', "empty.jsonl' is empty: write a line"),
    ('folder/a/x.txt', 'Words.', 'give examples of two clients at least'),
    ('folder/a/x.txt', b'W\0o\0', "x.txt' holds null characters, as UTF-16 does: convert it to UTF-8"),
    ('folder/a/x.pdf', b'%PDF', 'holds no text (left out 1 file that is not .txt)'),
    ('leaf/a.json', _LEAF, 'cannot tell labels from next characters'),
    ('leaf/a.json', _LEAF.replace('["d"]', '[4]'), 'give examples of two clients at least'),
    ('leaf/a.json', _LEAF.replace('["a"]', '[null]'), 'lists the user null, which is neither text nor'),
  ],
)
def test_refuses_data(name: str, content: str | bytes, said: str, capsys, tmp_path):
  file = tmp_path / name
  file.parent.mkdir(parents=True, exist_ok=True)
  file.write_bytes(content if isinstance(content, bytes) else content.encode())
  path, kind = (file, 'text') if file.parent == tmp_path else (tmp_path / name.split('/')[0], name.split('/')[0])
  dataset = f'{"leaf" if kind == "leaf" else "text"}(path={str(path)!r}, vocabulary="characters")'
  assert said in _refusal(capsys, dataset=dataset, output_dir=str(tmp_path / 'run'), clients_per_round=1)
  assert not (tmp_path / 'run').exists()


def test_refuses_a_folder_of_something_else(capsys, tmp_path):
  dataset = _text(tmp_path / 'text')
  (tmp_path / 'run').mkdir()
  (tmp_path / 'run' / 'diary.txt').write_text('dear diary')
  message = _refusal(capsys, dataset=dataset, output_dir=str(tmp_path / 'run'), clients_per_round=2)
  assert 'choose a new --output_dir' in message
  assert [path.name for path in (tmp_path / 'run').iterdir()] == ['diary.txt']


@pytest.mark.parametrize(
  ('arguments', 'expected'),
  [
    (['--clients_per_rond=3'], 'clients_per_rond'),
    (['--rounds=-1'], 'rounds'),
    (['--batch_size=many'], 'batch_size'),
    (['rounds=3'], "'rounds=3' is not a flag: write --name=value"),
  ],
)
def test_refuses_flags(arguments, expected):
  process = binaries.run('experiments.language_model', arguments)
  assert process.returncode == 2
  assert expected in process.stderr
  assert len(process.stderr.splitlines()) == 1


def test_answers_help_with_nothing_else():
  command = [sys.executable, '-m', 'experiments.language_model', '--help']
  process = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
  assert process.returncode == 0
  assert '--upload' in process.stdout
  assert not process.stderr


def test_answers_version():
  process = binaries.run('experiments.language_model', ['--version'])
  assert process.returncode == 0
  assert '0.1.0' in process.stdout
  assert not process.stderr
