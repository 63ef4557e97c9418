"""The comparison of codecs: honest counts on an update, seeds gathered, runs that differ otherwise refused."""

import json
import pathlib
import tempfile

from absl.testing import parameterized
import numpy as np

from experiments.command import codec_specs
from experiments.comparisons import codecs
from tests import binaries

_UPDATE = [np.random.default_rng(0).normal(size=[30, 40]).astype(np.float32), np.ones([40], np.float32)]


class CodecComparisonTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name)

  def _run(self, name, perplexity, **settings):
    (self.folder / name).mkdir()
    settings = {'upload': 'identity', 'seed': 0, 'output_dir': name, 'rounds': 3} | settings
    (self.folder / name / 'config.json').write_text(json.dumps({'settings': settings}))
    summary = {'upload_bytes_total': 2_000_000, 'eval/perplexity': perplexity}
    (self.folder / name / 'summary.json').write_text(json.dumps(summary))
    (self.folder / name / 'metrics.csv').write_text('round,upload_bytes\n0,\n1,2000000\n')

  def test_measures_bits_and_distortion(self):
    exact, coarse = codecs.measure_update(_UPDATE, ['identity', 'uniform(bits=8)'])
    self.assertEqual((exact.bits_per_parameter, exact.distortion), (32.0, 0.0))
    self.assertAlmostEqual(coarse.bits_per_parameter, 8 * (1240 + 16) / 1240)  # A byte a value, two ranges of 8.
    self.assertBetween(coarse.distortion, 1e-6, 1e-3)

  def test_every_codec_of_the_list_is_one_and_stands_there_once(self):
    built = [(str(codec_specs.build(codec).codec), codec) for codec in codecs.CODECS]
    self.assertLen(set(built), len(codecs.CODECS))

  def test_gathers_seeds_and_shows_all_of_them(self):
    self._run('a', 100.0)
    self._run('b', 110.0, seed=1, rounds_per_checkpoint=5)
    self._run('c', 300.0, upload='clip|sign')
    qualities = codecs.read_runs(self.folder)
    self.assertEqual([quality.codec for quality in qualities], ['identity', 'clip|sign'])
    self.assertEqual(qualities[0].perplexities, (100.0, 110.0))
    table = codecs.quality_table(qualities)
    # Mean 105; standard deviation sqrt(25 + 25) = 7.07; the bar of a chain must not end a cell.
    self.assertIn('| `identity` | 2.0 | 105.0 | 7.1 | 100.0, 110.0 |', table)
    self.assertIn('`clip\\|sign`', table)

  def test_runs_that_differ_otherwise_are_refused(self):
    self._run('a', 100.0)
    self._run('b', 110.0, rounds=4)
    with self.assertRaisesRegex(ValueError, 'differs from the other runs in rounds'):
      codecs.read_runs(self.folder)

  def test_draws_what_there_is_and_no_empty_panel(self):
    self._run('a', 100.0)
    points, qualities = codecs.measure_update(_UPDATE, ['sign']), codecs.read_runs(self.folder)
    widths = []
    for drawn in ((points, qualities), (points, []), ([], qualities)):
      codecs.plot(*drawn, self.folder / 'codecs.png')
      header = (self.folder / 'codecs.png').read_bytes()[:24]
      self.assertEqual(header[:4], b'\x89PNG')
      widths.append(int.from_bytes(header[16:20], 'big'))  # The first of a PNG's numbers.
    self.assertEqual(widths, [14 * 110, 7 * 110, 7 * 110])  # Inches of one panel, and dots an inch.

  def _compare(self, *arguments):
    return binaries.run('experiments.compare', [f'--output_dir={self.folder}/out', *arguments])

  def test_the_binary_prints_and_keeps_the_tables(self):
    self._run('a', 100.0)
    process = self._compare('--what=codecs', f'--runs={self.folder}')
    self.assertEqual(process.returncode, 0, process.stderr)
    self.assertIn('| `identity` | 2.0 | 100.0 |', process.stdout)
    self.assertIn('| `identity` | 2.0 | 100.0 |', (self.folder / 'out' / 'codecs.md').read_text())

  def test_the_binary_refuses_in_one_line(self):
    for arguments, expected in (
      ([], 'name --output_dir and at least one of --run and --runs'),
      ([f'--runs={self.folder}/nothing'], 'holds no finished run'),
      ([f'--run={self.folder}/nothing'], 'holds no finished run'),
    ):
      process = self._compare('--what=codecs', *arguments)
      self.assertEqual(process.returncode, 2)
      self.assertEqual(len(process.stderr.splitlines()), 1, process.stderr)
      self.assertIn(expected, process.stderr)
