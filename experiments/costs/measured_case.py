"""What a measurement of a client's round is of, and the policies that it may name."""

import collections
import dataclasses
from typing import Any

from experiments.command import device_specs
from experiments.command import given_objects
from optimizers import catalog as optimizers_catalog
from optimizers import devices as devices_lib
from optimizers import policies

_POLICIES = collections.ChainMap({'layerwise': policies.Layerwise}, optimizers_catalog.POLICIES)


@dataclasses.dataclass(frozen=True)
class Case:
  """What is measured. Where it takes a spec, a script may give what that would build.

  Attributes:
    model: A spec of `--model`.
    policy: A spec of `--trainable`.
    upload: A spec of `--upload`.
    vocabulary_size: Sub-words.
    sequence_length: Target positions of an example.
    batch_size: Examples in a batch.
    num_steps: Local steps of a round.
    image_size: Pixels on both sides of an image of three colours, for models of images.
    num_classes: Classes of images.
    objective: A spec of `--objective`, what is learned from images without labels; None for their classes.
    chunk_size: Images that the encoder of an objective sees at once; 0 for all of a batch.
    algorithm: A spec of `--algorithm`, whose client's half is measured.
  """

  model: Any
  policy: Any
  upload: Any
  vocabulary_size: int
  sequence_length: int
  batch_size: int
  num_steps: int
  image_size: int = 32
  num_classes: int = 10
  objective: Any = None
  chunk_size: int = 0
  algorithm: Any = 'fed_avg(client_lr=0.1)'

  @property
  def policy_name(self) -> str:
    """What the policy is called."""
    return given_objects.shown(given_objects.recorded(self.policy))


def devices(policy: Any) -> devices_lib.Devices:
  """Returns clients that all train what a spec of `--policies` says, or a script gives; raises `SpecError`."""
  return device_specs.build(policy, policies=_POLICIES)
