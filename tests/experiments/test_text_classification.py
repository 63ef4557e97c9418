"""The text-classification binary: it starts from each kind of checkpoint, learns, counts bytes and repeats itself."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest

from data import client_key
from data import holdout
from data import text_encoders
from data.sources import docstrings
from data.sources import spooky
from experiments.command import failures
from experiments.results import columns
from experiments.results import metrics
from experiments.starts import encoder_finder
from experiments.starts import encoder_start
from experiments.starts import exporting
from models import bert
from models import checkpoint
from models import hugging_face
from tests import binaries
from tests import heldout_file
from tests import tokenizer_files

_ROOT = pathlib.Path(__file__).parents[2]
_GOLDEN = _ROOT / 'tests' / 'models' / 'golden'
_PIECES = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *(f'word{number}' for number in range(35))]


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> pathlib.Path:
  """A BERT in the Hugging Face layout, of width 16 and with 10 positions, and two authors with words of their own."""
  folder = tmp_path_factory.mktemp('classification')
  shutil.copytree(_GOLDEN / 'bert_classifier', folder / 'bert')
  (folder / 'bert' / 'vocab.txt').write_text('\n'.join(_PIECES))
  rng = np.random.default_rng(0)
  lines = ['id,text,author']
  for number in range(400):
    author = number % 3
    words = ' '.join(f'word{10 * author + word}' for word in rng.integers(0, 10, 6))
    lines.append(f'id{number},{words},{("EAP", "HPL", "MWS")[author]}')
  (folder / 'train.csv').write_text('\n'.join(lines) + '\n')
  return folder


def _command(folder: pathlib.Path, output_dir: pathlib.Path, **flags) -> subprocess.CompletedProcess[str]:
  settings = {
    'dataset': f'spooky(path={str(folder / "train.csv")!r}, sequence_length=8)',
    'partition': 'iid(clients=3)',
    'pretrained': folder / 'bert',
    'model': 'bert(dropout=0.0)',
    'algorithm': 'fed_avg(client_lr=0.1, clip_norm=0)',
    'local_epochs': 5,
    'rounds': 6,
    'output_dir': output_dir,
  } | flags
  environment = os.environ | {'LEANFED_CACHE': str(folder / 'cache')}
  return binaries.run('experiments.text_classification', [f'--{k}={v}' for k, v in settings.items()], environment)


@pytest.fixture(scope='module')
def finished(folder) -> pathlib.Path:
  process = _command(folder, folder / 'finished', upload='uniform(bits=8)')
  assert process.returncode == 0, process.stderr
  for measure in ('accuracy on held-out clients', 'accuracy of TF-IDF and logistic regression'):
    assert re.search(rf'^{measure} .*[01]\.\d{{3}}$', process.stdout, re.MULTILINE)
  assert 'round 6/6, accuracy' in process.stderr
  return folder / 'finished'


def test_it_learns_and_counts_bytes(finished):
  summary = json.loads((finished / 'summary.json').read_text())
  assert summary['eval/accuracy'] > 0.8
  assert summary['eval/perplexity'] == ''
  heldout_file.check(finished, examples=True)
  assert (finished / 'accuracy.png').stat().st_size > 1000
  rows = metrics.read(finished / 'metrics.csv')
  assert [row['num_clients'] for row in rows[1:]] == [3] * 6
  # 40 + 10 + 2 rows of 16, norms of 32 (5), 2 blocks of 4 x 272 + 408 + 400, pooler 272, classifier 17 x 3.
  assert summary['num_parameters'] == 52 * 16 + 5 * 32 + 2 * (4 * 272 + 408 + 400) + 272 + 51
  assert rows[1]['download_bytes'] == 3 * 4 * summary['num_parameters']
  assert rows[1]['upload_bytes_values'] == 3 * summary['num_parameters']


def test_a_run_starts_from_another(folder, finished, tmp_path):
  process = _command(folder, tmp_path / 'run', pretrained=finished, rounds=0)
  assert process.returncode == 0, process.stderr
  before = json.loads((finished / 'summary.json').read_text())
  after = json.loads((tmp_path / 'run' / 'summary.json').read_text())
  assert after['eval/accuracy'] == before['eval/accuracy']


def test_the_export_is_a_checkpoint_in_the_hugging_face_layout(folder, finished, tmp_path):
  exported = exporting.export(finished, tmp_path / 'exported')
  found = hugging_face.load(tmp_path / 'exported')
  assert found.labels == ('EAP', 'HPL', 'MWS')
  for name, value in exported.weights.items():
    np.testing.assert_array_equal(found.weights[name], value)
  texts = ['word3 word17 nothing', 'Word3']
  ids = text_encoders.tokenizer_of(tmp_path / 'exported').encode(texts, 8)
  np.testing.assert_array_equal(ids, text_encoders.tokenizer_of(folder / 'bert').encode(texts, 8))


@pytest.fixture(scope='module')
def own(folder) -> pathlib.Path:
  """Texts of 20 users in a CSV file; each label has words of its own."""
  rng = np.random.default_rng(1)
  lines = ['author,stars,comment']
  for number in range(200):
    stars = number // 20 % 2 * 9 + 1
    words = ' '.join(f'word{stars + word}' for word in rng.integers(0, 9, 4))
    lines.append(f'user {number % 20},{stars},"{words},\nword30"')
  (folder / 'own.csv').write_text('\n'.join([*lines, 'user 0,1,']) + '\n')
  return folder / 'own.csv'


def test_clients_are_the_users_of_an_own_file(folder, own, tmp_path):
  dataset = f'csv(path={str(own)!r}, text="comment", label="stars", user="author", sequence_length=8)'
  process = _command(folder, tmp_path / 'run', dataset=dataset, partition='natural', local_epochs=20, rounds=3)
  assert process.returncode == 0, process.stderr
  # 2 of the 20 users are held out, and 1 of the other 18 validates; each has 10 texts, 5 of each class.
  said = 'csv: 200 texts of 2 classes (1: 100, 10: 100); users that train 17, validate 1, are held out 2'
  assert said in process.stderr.splitlines()
  assert 'csv: left out 1 examples without text' in process.stderr.splitlines()
  summary = json.loads((tmp_path / 'run' / 'summary.json').read_text())
  assert summary['num_clients_total'] == 17
  assert summary['eval/accuracy'] > 0.8
  heldout_file.check(tmp_path / 'run', examples=False)
  judges = {row['client_id']: row['num_predicted'] for row in heldout_file.read(tmp_path / 'run')}
  heldout = holdout.choose(f'user {number}' for number in range(20))
  assert judges == {client_key.derive(name).client_id: '10' for name in heldout}
  exporting.export(tmp_path / 'run', tmp_path / 'exported')
  assert hugging_face.load(tmp_path / 'exported').labels == ('1', '10')


def test_users_are_kept_only_where_they_are_named(folder, own, tmp_path):
  dataset = f'csv(path={str(own)!r}, text="comment", label="stars", sequence_length=8)'
  process = _command(folder, tmp_path / 'run', dataset=dataset, partition='natural', pretrained='tiny_bert')
  assert process.returncode == 2 and len(process.stderr.splitlines()) == 1  # Nothing is pre-trained before.
  assert "csv names none: give user='...'" in process.stderr
  assert not (tmp_path / 'run').exists()


def test_evaluate_scores_a_run_as_it_did_itself(folder, finished, tmp_path):
  summary = json.loads((finished / 'summary.json').read_text())
  exporting.export(finished, tmp_path / 'exported')
  environment = os.environ | {'LEANFED_CACHE': str(folder / 'cache')}
  dataset = f'spooky(path={str(folder / "train.csv")!r}, sequence_length=8)'
  for model in (finished, tmp_path / 'exported'):
    scored = binaries.run(
      'experiments.evaluate', [f'--pretrained={model}', f'--dataset={dataset}', f'--output_dir={tmp_path}'], environment
    )
    assert scored.returncode == 0, scored.stderr
    result = json.loads(scored.stdout)
    assert result == json.loads((tmp_path / 'evaluation.json').read_text())
    assert tuple(result) == columns.names(columns.EVALUATION)
    assert result['eval/accuracy'] == pytest.approx(summary['eval/accuracy'], abs=1e-6)  # A text more is 1/40 at least.
    assert result['eval/loss'] == pytest.approx(summary['eval/loss'], rel=1e-4)
    assert result['eval/perplexity'] == ''
  refused = binaries.run('experiments.evaluate', [f'--pretrained={finished}'], environment)
  assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
  assert "dataset 'docstrings' has running text, for experiments.language_model and pretrain; choose" in refused.stderr


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ({'trainable': 'frozen(blocks=1)'}, 'cannot start a run with --trainable=frozen'),
    ({'partition': 'iid(clients=1000)'}, 'are more than the'),
  ],
)
def test_bad_input_is_one_line(flags, message, folder, tmp_path):
  process = _command(folder, tmp_path / 'run', **flags)
  assert process.returncode == 2, process.stderr
  assert message in process.stderr and 'Traceback' not in process.stderr
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  ('name', 'content', 'message'),
  [
    ('tokenizer.json', b'{"model": {"type": "WordLevel"}}', "holds a model of type 'WordLevel': only WordPiece"),
    ('model.safetensors', b'\xff' * 100, 'is truncated or no safetensors file'),
  ],
)
def test_an_unsound_folder_is_one_line(name, content, message, folder, tmp_path):
  shutil.copytree(folder / 'bert', tmp_path / 'bert')
  (tmp_path / 'bert' / 'vocab.txt').unlink()
  (tmp_path / 'bert' / name).write_bytes(content)
  process = _command(folder, tmp_path / 'run', pretrained=tmp_path / 'bert')
  assert process.returncode == 2, process.stderr
  assert message in process.stderr and len(process.stderr.splitlines()) == 1
  assert [path.name for path in tmp_path.iterdir()] == ['bert']


def test_a_run_starts_from_a_tokenizer_json_and_bfloat16(folder, tmp_path):
  shutil.copytree(folder / 'bert', tmp_path / 'bert')
  (tmp_path / 'bert' / 'vocab.txt').unlink()
  (tmp_path / 'bert' / 'tokenizer.json').write_text(tokenizer_files.unigram(40))
  config = json.loads((tmp_path / 'bert' / 'config.json').read_text())
  del config['model_type']  # Its architectures say what it is.
  (tmp_path / 'bert' / 'config.json').write_text(json.dumps(config))
  arrays, metadata = checkpoint.load_arrays(tmp_path / 'bert' / 'model.safetensors')
  header, content = {'__metadata__': metadata}, b''
  for name, value in arrays.items():
    brief = (value.view(np.uint32) >> 16).astype('<u2').tobytes()
    header[name] = {'dtype': 'BF16', 'shape': value.shape, 'data_offsets': [len(content), len(content) + len(brief)]}
    content += brief
  described = json.dumps(header).encode()
  (tmp_path / 'bert' / 'model.safetensors').write_bytes(len(described).to_bytes(8, 'little') + described + content)
  process = _command(folder, tmp_path / 'run', pretrained=tmp_path / 'bert', rounds=1)
  assert process.returncode == 0, process.stderr
  exporting.export(tmp_path / 'run', tmp_path / 'exported')
  exported = text_encoders.tokenizer_of(tmp_path / 'exported')
  assert exported.serialized == text_encoders.tokenizer_of(tmp_path / 'bert').serialized
  assert exported.serialized == checkpoint.load(tmp_path / 'run').description.tokenizer
  again = _command(folder, tmp_path / 'again', pretrained=tmp_path / 'exported', rounds=0)
  assert again.returncode == 0, again.stderr
  accuracies = [json.loads((tmp_path / run / 'summary.json').read_text())['eval/accuracy'] for run in ('run', 'again')]
  assert accuracies[0] == accuracies[1]


def _load(folder: pathlib.Path, **options) -> encoder_start.EncoderStart:
  return encoder_finder.find(str(folder), bert.bert(**options), docstrings.docstrings())


def test_sequences_longer_than_the_positions_are_refused(folder):
  source = spooky.spooky(path=str(folder / 'train.csv'), sequence_length=11)
  with pytest.raises(failures.UsageError, match='sequence_length=11 of --dataset is more than 10'):
    _load(folder / 'bert').check_length(source)


def test_heads_are_shared_or_per_client():
  with pytest.raises(ValueError, match="head_init must be one of shared, per_client, not 'own'"):
    bert.bert(head_init='own')


def test_other_models_are_refused(folder):
  with pytest.raises(
    failures.UsageError, match='holds bert, not albert: name bert in --model, or another --pretrained'
  ):
    encoder_finder.find(str(folder / 'bert'), bert.albert(), docstrings.docstrings())
  for name, options, message in (
    (folder / 'bert', {'size': 'base'}, r'not bert\(width=768, mlp_width=3072, num_layers=12'),
    ('/no/such', {}, "--pretrained=/no/such: '/no/such' holds no model.safetensors"),
    ('tiny_albert', {}, '--pretrained=tiny_albert holds albert, not bert'),  # Nothing is pre-trained for it.
  ):
    with pytest.raises(failures.UsageError, match=message):
      _load(name, **options)


def test_clients_draw_what_is_new_in_the_head(folder):
  start = _load(folder / 'bert', head_init='per_client')
  assert start.classifier(3).drawn_by_clients == frozenset()  # The checkpoint has a head for three classes,
  assert start.classifier(4).drawn_by_clients == {'head/classifier_kernel', 'head/classifier_bias'}  # none for four.
  assert _load(folder / 'bert').classifier(4).drawn_by_clients == frozenset()


def test_minilm_is_a_package(monkeypatch):
  monkeypatch.setattr(encoder_finder.importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(failures.UsageError, match=r'--pretrained=minilm needs a package: .*requirements-pretrained.txt'):
    encoder_finder.find('minilm', bert.bert(), docstrings.docstrings())
