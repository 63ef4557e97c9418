"""Products in bfloat16: rounded as its 8 bits say, with gradients that are too; those of float32 are TensorFlow's."""

from absl.testing import parameterized
import numpy as np
import tensorflow as tf

from models import precision


class ProductTest(parameterized.TestCase):
  def test_golden(self):
    # 1 + 1/128 has 8 bits and stays; 1 + 1/256 has 9: it is halfway to 1 + 1/128, and goes to the even one, 1.
    x = tf.constant([[1.0 + 1 / 128, 1.0 + 1 / 256]])
    rows = [precision.product(x, tf.eye(2), name).numpy().tolist() for name in ('bfloat16', 'float32')]
    self.assertEqual(rows, [[[1.0078125, 1.0]], [[1.0078125, 1.00390625]]])

  @parameterized.product(name=precision.PRECISIONS, transpose_a=[False, True], transpose_b=[False, True])
  def test_is_near_the_product_in_float64_and_so_are_its_gradients(self, name, transpose_a, transpose_b):
    rng = np.random.default_rng(0)
    x, y, d = rng.normal(size=[40, 30]), rng.normal(size=[30, 20]), rng.normal(size=[40, 20])
    given = [tf.constant(x.T if transpose_a else x, tf.float32), tf.constant(y.T if transpose_b else y, tf.float32)]
    with tf.GradientTape() as tape:
      tape.watch(given)
      product = precision.product(*given, name, transpose_a, transpose_b)
    d_x, d_y = tape.gradient(product, given, tf.constant(d, tf.float32))
    expected = [x @ y, (d @ y.T).T if transpose_a else d @ y.T, (x.T @ d).T if transpose_b else x.T @ d]
    # Each factor is off by at most 2^-9 of itself, and the result by as much again: 3 x 2^-9 of about sqrt(30), rarely more.
    atol = {'float32': 1e-4, 'bfloat16': 0.1}[name]
    for found, wanted in zip((product, d_x, d_y), expected, strict=True):
      self.assertEqual(found.dtype, tf.float32)
      np.testing.assert_allclose(found, wanted, atol=atol)

  def test_float32_adds_nothing(self):
    rng = np.random.default_rng(0)
    x, y = (tf.constant(rng.normal(size=[7, 7]), tf.float32) for _ in range(2))
    np.testing.assert_array_equal(precision.product(x, y, 'float32'), tf.matmul(x, y))
