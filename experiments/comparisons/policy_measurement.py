"""The measurement behind `--what=policies --run`: one local round by each policy, on the same clients."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from data import progress
from experiments.command import device_specs
from experiments.command import failures
from experiments.command import spec as spec_lib
from experiments.command import spec_list
from experiments.comparisons import policy_round
from experiments.comparisons import policy_updates
from experiments.comparisons import trained_run

SUITE = 'suite'  # No name of a policy, as `all` is.
_NUM_CLIENTS = 4

POLICIES = (
  'all', 'random(fraction=0.4)', 'random(fraction=0.2)', 'frozen(fraction=0.5)', 'suffix(blocks=1)', 'head', 'bias',
  'lora(rank=8)', 'lora(rank=2)', 'adapter(width=16)', 'width(fraction=0.5)',
)  # fmt: skip


def listed(text: str | Sequence[Any]) -> dict[str, Any]:
  """Returns the policies of a list by name, where `SUITE` stands for `POLICIES`; raises `SpecError` as `spec_list.read`."""
  return spec_list.read(text, 'policies', device_specs.build, {SUITE: POLICIES})


def measure(run: trained_run.TrainedRun, specs: Mapping[str, Any]) -> list[policy_updates.MeasuredPolicy]:
  """Lets the same clients train a run's model by each policy.

  Args:
    run: The run.
    specs: Policies by name; one that does not fit the model has no updates, but a note.

  Returns:
    What was measured of each, in order.

  Raises:
    UsageError: If clients of the run chose what they received.
  """
  if spec_lib.parse(run.settings['download'])[0].name == 'select':
    raise failures.UsageError(
      f'{run.folder} was trained by --download=select(...), whose clients hold sub-models: name a run without it'
    )
  clients, judged = run.clients(_NUM_CLIENTS), policy_round.judged_examples(run)
  measured = []
  with progress.Progress('case', len(specs), task='training clients by policies') as bar:
    for name, spec in specs.items():
      try:
        updates, note = policy_round.PolicyRound(run, spec).updates(clients, judged), ''
      except policy_round.PolicyMisfitError as error:
        updates, note = [], str(error)
      measured.append(policy_updates.MeasuredPolicy(name, updates, note))
      bar.advance(state=name)
  return measured
