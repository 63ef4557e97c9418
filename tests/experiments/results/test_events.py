"""TensorBoard is told the numbers of a row."""

import tensorflow as tf

from experiments.results import events


def test_numbers_of_a_row_are_scalars_of_their_round(tmp_path):
  written = events.Events(tmp_path)
  written.add(0, {'eval/loss': 2.5, 'upload_bytes': 3, 'kept': True, 'eval/accuracy': ''})
  written.add(1, {'eval/loss': 1.5})
  tf.summary.flush(written._writer)
  (file,) = tmp_path.glob('events.out.tfevents.*')
  found = [
    (event.step, value.tag, float(tf.make_ndarray(value.tensor)), value.metadata.plugin_data.plugin_name)
    for event in tf.compat.v1.train.summary_iterator(str(file))
    for value in event.summary.value
  ]
  assert found == [
    (0, 'eval/loss', 2.5, 'scalars'),
    (0, 'upload_bytes', 3.0, 'scalars'),
    (0, 'kept', 1.0, 'scalars'),
    (1, 'eval/loss', 1.5, 'scalars'),
  ]
