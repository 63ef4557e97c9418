"""Every preset names things that exist, and says in its first line what to expect."""

import pathlib

from absl import flags
from absl.testing import flagsaver
import pytest

from experiments import run_flags

_FOLDER = pathlib.Path(run_flags.__file__).with_name('flagfiles')


@pytest.mark.parametrize('path', sorted(_FOLDER.glob('*.flags')), ids=lambda path: path.stem)
def test_builds_everything_that_a_preset_names(path, tmp_path):
  assert path.read_text().startswith('# ')
  with flagsaver.flagsaver():
    flags.FLAGS(['test', f'--flagfile={path}', f'--output_dir={tmp_path}'])
    run_flags.dataset()
    assert run_flags.model()(4000).num_parameters > 100_000
    run_flags.algorithm()
    run_flags.communication()
    run_flags.batches()
    assert run_flags.config().rounds >= 100
