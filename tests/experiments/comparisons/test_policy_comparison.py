"""The comparison of policies: groups, means and spread are right, and the picture is drawn."""

import json
import pathlib
import tempfile

from absl.testing import parameterized

from experiments.comparisons import policies


class PolicyComparisonTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name)

  def _run(self, name, perplexity, fractions=(1.0, 1.0), **settings):
    (self.folder / name).mkdir()
    settings = {'model': 'lstm', 'trainable': 'all', 'download': 'identity', 'seed': 0, 'rounds': 2} | settings
    (self.folder / name / 'config.json').write_text(json.dumps({'settings': settings, 'dataset_hash': 'abcdef'}))
    summary = {'upload_bytes_total': 2_000_000, 'download_bytes_total': 8_000_000, 'eval/perplexity': perplexity}
    (self.folder / name / 'summary.json').write_text(json.dumps(summary))
    rows = [f'{index + 1},{fraction}' for index, fraction in enumerate(fractions)]
    (self.folder / name / 'metrics.csv').write_text('\n'.join(['round,trained_fraction', '0,', *rows]) + '\n')

  def test_gathers_seeds(self):
    self._run('a', 100.0)
    self._run('c', 130.0, fractions=(0.3, 0.5), trainable='random(fraction=0.4)', seed=1)
    self._run('b', 120.0, fractions=(0.2, 0.6), trainable='random(fraction=0.4)')
    whole, part = policies.read_runs(self.folder)
    self.assertEqual((whole.trainable, whole.trained_fraction), ('all', 1.0))
    self.assertAlmostEqual(part.trained_fraction, 0.4)
    self.assertEqual(part.perplexities, (120.0, 130.0))  # By seed.
    table = policies.table([whole, part])
    # Mean 125; standard deviation sqrt(25 + 25) = 7.07.
    self.assertIn('| 0.400 | 2.0 | 8.0 | 125.0 | 7.1 | 120.0, 130.0 |', table)
    self.assertIn('| 100.0 |  | 100.0 |', table)

  def test_each_setting_may_have_rates_of_its_own_but_all_its_seeds_the_same(self):
    self._run('a', 100.0, algorithm='fed_avg(client_lr=1.0)')
    self._run('b', 110.0, trainable='bias', algorithm='fed_avg(client_lr=3.0)')
    self.assertLen(policies.read_runs(self.folder), 2)
    self._run('c', 120.0, seed=1, algorithm='fed_avg(client_lr=3.0)')
    with self.assertRaisesRegex(ValueError, 'differs in algorithm from another seed of its setting: compare it apart'):
      policies.read_runs(self.folder)

  def test_runs_that_differ_otherwise_are_refused(self):
    self._run('a', 100.0)
    self._run('b', 110.0, rounds=4)
    with self.assertRaisesRegex(ValueError, 'differs from the other runs in rounds'):
      policies.read_runs(self.folder)

  def test_equal_data_at_another_path_are_no_difference(self):
    self._run('a', 100.0, dataset='text(path="a", vocabulary=60)')
    self._run('b', 110.0, dataset='text(path="b", vocabulary=60)', seed=1)
    self.assertLen(policies.read_runs(self.folder), 1)
    self._run('c', 110.0, dataset='text(path="b", vocabulary=61)', seed=2)
    with self.assertRaisesRegex(ValueError, 'differs from the other runs in dataset'):
      policies.read_runs(self.folder)

  def test_runs_that_are_judged_otherwise_are_refused(self):
    self._run('a', '')
    with self.assertRaisesRegex(ValueError, 'a is judged by accuracy, not perplexity: compare it by --what=runs'):
      policies.read_runs(self.folder)

  def _summarize(self, name, **entries):
    path = self.folder / name / 'summary.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))

  def test_runs_that_diverged_are_refused(self):
    self._run('a', None)
    self._summarize('a', diverged_round=1)
    with self.assertRaisesRegex(ValueError, 'a diverged, since round 1: compare it by --what=runs'):
      policies.read_runs(self.folder)

  def test_runs_that_go_on_after_their_end_are_left_out(self):
    self._run('a', 100.0)
    self._run('b', 50.0, trainable='head')
    self._summarize('b', rounds=1)
    self.assertEqual([found.trainable for found in policies.read_runs(self.folder)], ['all'])

  def test_draws(self):
    self._run('a', 100.0)
    for index, fraction in enumerate((0.2, 0.4)):
      self._run(f'b{index}', 120.0, fractions=(fraction,), trainable=f'random(fraction={fraction}, resample="round")')
    path = self.folder / 'policies.png'
    policies.plot(policies.read_runs(self.folder), path)
    self.assertEqual(path.read_bytes()[:4], b'\x89PNG')

  def test_a_line_is_a_policy_without_its_fraction(self):
    self._run('a', 100.0)
    self._run('b', 110.0, trainable='random(fraction=0.4, resample="round")')
    self._run('c', 120.0, trainable='random(fraction=0.2)')
    lines = policies._lines(policies.read_runs(self.folder))
    self.assertEqual(set(lines), {('lstm', 'random(resample="round")'), ('lstm', 'random')})
    self.assertEqual([quality.trainable for quality in lines['lstm', 'random']], ['all', 'random(fraction=0.2)'])
