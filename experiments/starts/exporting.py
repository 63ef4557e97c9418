"""The model of a run, written into a folder of its own."""

import pathlib

from experiments.command import failures
from experiments.results import output
from experiments.starts import encoder_export
from experiments.starts import saved_encoder
from models import checkpoint
from models import hugging_face

_CONFIG_FILE = 'config.json'
_OTHER_FILES = 'holds other files: choose a new --output_dir'


def export(run: str | pathlib.Path, output_dir: str | pathlib.Path) -> checkpoint.Checkpoint:
  """Writes the newest model of a run into a folder of its own; an encoder in the Hugging Face layout.

  Args:
    run: The `--output_dir` of a run, finished or not.
    output_dir: New or empty, or a folder that holds just this model.

  Returns:
    The model.

  Raises:
    UsageError: If there is no sound model, or `output_dir` cannot be used.
  """
  run, output_dir = pathlib.Path(run), pathlib.Path(output_dir)
  try:
    loaded = checkpoint.load(run)
    config = (run / _CONFIG_FILE).read_text()
  except ValueError as error:
    raise failures.UsageError(f'--run={run}: {error}') from error
  except OSError as error:
    raise failures.UsageError(f'--run={run}: cannot read {_CONFIG_FILE} ({error.strerror}): name a run') from error
  with output.usable(output_dir):
    output.make(output_dir)
    if saved_encoder.is_encoder(loaded.description):
      _export_encoder(loaded, output_dir)
    else:
      if any(output_dir.iterdir()) and not _holds(output_dir, loaded):
        raise failures.UsageError(f'{output_dir} {_OTHER_FILES}')
      checkpoint.save(output_dir, loaded.weights, loaded.description, loaded.steps)
      output.write_text(output_dir / _CONFIG_FILE, config)
  return loaded


def _export_encoder(loaded: checkpoint.Checkpoint, output_dir: pathlib.Path) -> None:
  converted = encoder_export.convert(loaded)
  if any(output_dir.iterdir()):
    files = {checkpoint.MODEL_FILE, checkpoint.TOKENIZER_FILE, hugging_face.CONFIG_FILE, *hugging_face.TOKENIZER_FILES}
    try:
      found = hugging_face.load(output_dir)
    except ValueError:
      found = None
    if not found or not encoder_export.holds(found, converted) or {path.name for path in output_dir.iterdir()} - files:
      raise failures.UsageError(f'{output_dir} {_OTHER_FILES}')
  try:
    hugging_face.save(output_dir, converted)
  except ValueError as error:
    raise failures.UsageError(f'--run={loaded.folder} does not fit the Hugging Face layout: {error}') from error


def _holds(folder: pathlib.Path, loaded: checkpoint.Checkpoint) -> bool:
  files = {checkpoint.MODEL_FILE, checkpoint.TOKENIZER_FILE, _CONFIG_FILE}
  if not {path.name for path in folder.iterdir()} <= files:
    return False
  try:
    return checkpoint.load(folder).content_hash == loaded.content_hash
  except ValueError:
    return False
