"""One `metrics.csv` for a training in stages: the rounds of all of them, and what clients receive when blocks are frozen.

A block that is frozen is received once by each client: before the first round of a later stage in which it takes part, it
receives whatever was frozen since the stage in which it took part last, or since the beginning.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import csv
import io
import pathlib
from typing import Any

from experiments import metrics
from experiments import output

COLUMNS = ('stage', *metrics.COLUMNS, 'download_bytes_frozen')


def combine(
  stage_rows: Sequence[Sequence[Mapping[str, Any]]],
  participants: Sequence[Sequence[Sequence[str]]],
  frozen_bytes: Sequence[int],
) -> list[dict[str, Any]]:
  """Joins the rows of all stages.

  Args:
    stage_rows: Of each stage, its rows from round 0 on.
    participants: Of each stage, the ids of the clients of its rounds, from round 1 on.
    frozen_bytes: Of each stage, the size of what its end freezes, as it travels.

  Returns:
    Rows of `COLUMNS`: round 0 of the first stage, and the other rounds numbered on. `download_bytes` holds what was
    frozen, too.
  """
  joined, last_stage = [], {}
  for stage, (rows, clients) in enumerate(zip(stage_rows, participants, strict=True)):
    if not stage:
      joined.append(rows[0] | dict(stage=1, download_bytes_frozen=metrics.NOT_MEASURED))
    for row, ids in zip(rows[1:], clients, strict=True):
      frozen = sum(sum(frozen_bytes[last_stage.get(client, 0) : stage]) for client in ids)
      last_stage |= dict.fromkeys(ids, stage)
      before = joined[-1]
      counted = dict(
        round=before['round'] + 1,
        stage=stage + 1,
        download_bytes=row['download_bytes'] + frozen,
        download_bytes_frozen=frozen,
        upload_bytes_total=before['upload_bytes_total'] + row['upload_bytes'],
        download_bytes_total=before['download_bytes_total'] + row['download_bytes'] + frozen,
      )
      joined.append(row | counted)
  return joined


def write(rows: Sequence[Mapping[str, Any]], path: pathlib.Path) -> None:
  """Writes rows of `COLUMNS`; a reader sees the old file or the new one."""
  text = io.StringIO()
  writer = csv.DictWriter(text, COLUMNS, lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  output.write_text(path, text.getvalue())
