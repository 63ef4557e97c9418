"""Telling packages apart is a fair task: balanced, with names masked, and with modules held out."""

import collections

import pytest

from data.sources import docstring_packages
from data.sources import docstrings


def _modules(sizes: dict[str, int]) -> list[tuple[str, str, list[str]]]:
  """Ten modules of each package, with so many sentences of ten words each."""
  words = ' and one more' * 3
  return [
    (package, f'{package}.m{module}', [f'{package} {module}.{number}{words}' for number in range(size)])
    for package, size in sizes.items()
    for module in range(10)
  ]


def test_examples_are_balanced_and_modules_are_in_one_split(monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setattr(
    docstrings, 'read_modules', lambda packages: iter(_modules({'scikit-learn': 9, 'tensorflow-probability': 14}))
  )
  found = list(docstring_packages.docstring_packages(classes=2).read())
  assert found == list(docstring_packages.docstring_packages(classes=2).read())
  # Sentences of 11 words, so 3 to an example of 33; 9 make 3 examples, 14 make 4. Of 10 modules 2 are held out.
  counts = collections.Counter((split, example.label) for split, example in found)
  assert counts == {
    ('train', 'scikit-learn'): 24, ('train', 'tensorflow-probability'): 24,
    ('heldout', 'scikit-learn'): 6, ('heldout', 'tensorflow-probability'): 6,
  }  # fmt: skip
  modules = {split: {example.client for other, example in found if other == split} for split in ('train', 'heldout')}
  assert not modules['train'] & modules['heldout']
  assert len({(example.label, example.text) for _, example in found}) == 60
  first = next(example for _, example in found if example.client == 'scikit-learn.m0')
  assert first.text.split()[:2] == ['package', '0.0']
  assert len(first.text.split()) == 33


def test_a_copy_of_another_package_is_left_out(monkeypatch: pytest.MonkeyPatch):
  modules = [*_modules({'keras': 3, 'tensorflow': 3}), ('tensorflow', 'tensorflow.python.keras.a', ['word ' * 40])]
  monkeypatch.setattr(docstring_packages, 'PACKAGES', ('keras', 'tensorflow'))
  monkeypatch.setattr(docstrings, 'read_modules', lambda packages: iter(modules))
  assert all('keras' not in e.client or e.label == 'keras' for _, e in docstring_packages.docstring_packages(2).read())


@pytest.mark.parametrize(
  ('text', 'masked'),
  [
    ('Uses tf.function and TFRecord.', 'Uses package.function and package.'),
    ('a `tfp.distributions` or tfd', 'a `package.distributions` or package'),
    ('TensorFlow Probability, TensorFlow-Federated', 'package, package'),
    ('scikit-learn, sklearn.svm', 'package, package.svm'),
    ('the Hugging Face Hub, huggingface_hub.HfApi', 'the package, package.package'),
    ('jaxpr, SQLAlchemyError, keras.Model', 'package, package, package.Model'),
    ('a probability, federated learning, half, stuff', 'a probability, federated learning, half, stuff'),
  ],
)
def test_names_of_packages_are_masked(text: str, masked: str):
  assert docstring_packages.mask(text) == masked


def test_the_fingerprint_names_the_versions():
  two, three = (docstring_packages.docstring_packages(classes=classes).fingerprint for classes in (2, 3))
  assert 'scikit-learn==' in two and 'sqlalchemy==' not in two and 'sqlalchemy==' in three
  assert not set(docstring_packages.PACKAGES) & set(docstrings.DISTRIBUTIONS['pretrain'])
