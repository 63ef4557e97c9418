"""The TFF types that a task implies: its weights and its clients' examples."""

import numpy as np
import tensorflow_federated as tff

from models import model as model_lib
from models import task as task_lib


def weights(model: model_lib.Model) -> tuple[tff.TensorType, ...]:
  """Returns the types of a model's weights: a tuple of float32 tensors in the model's order."""
  return tuple(tff.TensorType(np.float32, variable.shape) for variable in model.variables)


def examples(task: task_lib.Task) -> tff.SequenceType:
  """Returns the type of one client's data: a sequence of single examples."""
  return tff.SequenceType(tff.types.tensorflow_to_type(task.example_spec))
