"""One `metrics.csv` for a training in stages: the rounds of all of them, and what clients receive when blocks are frozen.

What is frozen is received once by each client: the embedding and each block before the first round in which it runs there,
so later, or never, where blocks are dropped. That does not travel in a simulated
round: each block is encoded once, and the size of that payload is added, in `download_bytes_frozen`, for each client of a
round that had not received it.
"""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
from collections.abc import Set
import csv
import io
import pathlib
from typing import Any

from experiments.results import columns
from experiments.results import output

COLUMNS = columns.names(columns.STAGES)


def combine(
  stage_rows: Sequence[Sequence[Mapping[str, Any]]],
  needs: Sequence[Sequence[Mapping[str, Set[str]]]],
  frozen_bytes: Mapping[str, int],
) -> list[dict[str, Any]]:
  """Joins the rows of all stages.

  `download_bytes_frozen` of a round is the sum, over its clients, of `frozen_bytes` of the parts that each needs and has
  not needed in an earlier round.

  Args:
    stage_rows: For each stage, its rows from round 0 on.
    needs: For each stage and its rounds from round 1 on, the frozen parts of the model that each client runs, by its id.
    frozen_bytes: The size of the encoded payload of each such part.

  Returns:
    Rows of `COLUMNS`: round 0 of the first stage, and the other rounds numbered on. `download_bytes` holds what was
    frozen, too.
  """
  joined, kept = [], collections.defaultdict(set)
  for stage, (rows, needs_of_rounds) in enumerate(zip(stage_rows, needs, strict=True)):
    if not stage:
      joined.append(rows[0] | dict(stage=1, download_bytes_frozen=None))
    for row, needs_of_clients in zip(rows[1:], needs_of_rounds, strict=True):
      frozen = 0
      for client, parts in needs_of_clients.items():
        frozen += sum(frozen_bytes[part] for part in parts - kept[client])
        kept[client] |= parts
      before = joined[-1]
      counted = dict(
        round=before['round'] + 1,
        stage=stage + 1,
        download_bytes=row['download_bytes'] + frozen,
        download_bytes_frozen=row['download_bytes_frozen'] + frozen,
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
