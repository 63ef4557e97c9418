"""What follows learning without labels: a few labels, and fine-tuning that begins with what was learned."""

import numpy as np
import pytest

from data import partitions
from data import prepare_images
from data.sources import digits
from experiments.central import evaluation
from experiments.central import image_evaluation
from experiments.central import image_examples
from experiments.central import training as central_training
from experiments.command import failures
from experiments.federated import run
from experiments.results import metrics
from experiments.stages import few_labels
from experiments.stages import finetuning
from experiments.starts import pretrained
from models import checkpoint
from models import image_task
from models import self_supervised_task
from models import simclr
from models import vit

_LABELS = np.array([0, 1, 0, 0, 2, 0, 1, 1, 0], np.int32)


@pytest.mark.parametrize(('num_examples', 'counts'), [(3, [1, 1, 1]), (5, [2, 2, 1]), (8, [4, 3, 1]), (9, [5, 3, 1])])
def test_draws_as_many_of_each_class_as_there_are(num_examples, counts):
  for seed in range(5):
    places = few_labels.drawn(_LABELS, num_examples, seed)
    assert len(set(places)) == num_examples
    assert list(np.bincount(_LABELS[places])) == counts


def test_a_draw_is_that_of_its_seed_and_begins_a_larger_one():
  np.testing.assert_array_equal(few_labels.drawn(_LABELS, 8, 3)[:5], few_labels.drawn(_LABELS, 5, 3))
  draws = {tuple(few_labels.drawn(_LABELS, 4, seed)) for seed in range(20)}
  assert len(draws) > 5
  # The fourth is of either class that has more than one.
  assert {int(_LABELS[draw[3]]) for draw in draws} == {0, 1}


def test_labels_and_examples_go_together():
  training = dict(image=10 * np.arange(9), label=_LABELS)
  examples = central_training.Examples(training, dict(image=np.arange(2), label=_LABELS[:2]))
  found = few_labels.of(examples, 6, seed=0)
  np.testing.assert_array_equal(_LABELS[found.training['image'] // 10], found.training['label'])
  assert found.num_training == 6 and found.evaluation is examples.evaluation
  assert few_labels.of(examples, 0, seed=0) is examples


@pytest.mark.parametrize('num_examples', [0, 3, 9])
def test_takes_what_there_is(num_examples):
  few_labels.check(num_examples, num_classes=3, num_training=9)


@pytest.mark.parametrize('num_examples', [1, 2, 10])
def test_refuses_what_there_is_not(num_examples):
  with pytest.raises(failures.UsageError, match='must be 0, for all, or from 3, the number of classes, to 9'):
    few_labels.check(num_examples, num_classes=3, num_training=9)


def _finetune(output_dir, learned, images, steps):
  task = image_task.build(_ENCODER.classifier(images.image_shape, 3), images.image_shape)
  examples = image_examples.examples(images, 0)
  description = checkpoint.of_images(_MODEL, images.image_shape, images.class_names)
  config = run.Config(output_dir, seed=5, settings=dict(seed=5))
  return task, examples, finetuning.accuracies(task, examples, learned, description, config, steps)


_ENCODER = vit.vit(width=8, mlp_width=8, num_layers=1, num_heads=1, patch_size=4)
_MODEL = 'vit(width=8, mlp_width=8, num_layers=1, num_heads=1, patch_size=4)'


def test_begins_with_the_encoder_that_was_learned_and_a_new_head(tmp_path):
  source = digits.digits(classes=[0, 1, 2], max_examples=60)
  images = prepare_images.prepare(source, partitions.iid(clients=1), tmp_path / 'cache')
  task = self_supervised_task.build(simclr.simclr(width=4, outputs=4), _ENCODER, images.image_shape)
  (tmp_path / 'learned').mkdir()
  rng = np.random.default_rng(0)
  weights = {v.name: rng.normal(size=v.shape).astype(np.float32) for v in task.model.variables}
  checkpoint.save(tmp_path / 'learned', weights, checkpoint.of_images(_MODEL, images.image_shape, ()), 1)
  learned = pretrained.load(tmp_path / 'learned')
  classification, examples, found = _finetune(tmp_path / 'run', learned, images, steps=4)

  model = classification.model
  initial = model.by_name([weight.numpy() for weight in model.initial_weights(5)])
  taken_over = initial | {name: value for name, value in weights.items() if not name.startswith('head/')}
  evaluate = evaluation.Evaluation(classification)
  for folder, start, name in (
    ('finetuned', taken_over, 'finetune/accuracy'),
    ('finetuned_random', initial, 'finetune/accuracy_random'),
  ):
    before, after = metrics.read(tmp_path / 'run' / folder / 'metrics.csv')
    expected = evaluate([start[variable.name] for variable in model.variables], examples.evaluation)
    assert before['eval/loss'] == pytest.approx(expected['eval/loss'], rel=1e-5)
    assert after['step'] == 4 and after['eval/loss'] != before['eval/loss']
    scored = image_evaluation.evaluate(tmp_path / 'run' / folder, source, 0)
    assert scored['eval/accuracy'] == found[name]
  assert initial['block_0/mlp/up_kernel'].tolist() != weights['block_0/mlp/up_kernel'].tolist()

  assert _finetune(tmp_path / 'none', learned, images, steps=0)[2] == {} and not (tmp_path / 'none').exists()
