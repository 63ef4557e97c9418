"""What a builder's signature tells is what a spec may say."""

from experiments.command import builder_docs


def _told(builder):
  return [(each.name, each.type, each.default) for each in builder_docs.entry(builder, lambda default: None).arguments]


def test_arguments_without_annotations_have_no_type_and_those_without_names_are_left_out():
  assert _told(lambda *sizes, width=8, **others: None) == [('width', '', '8'), ('...', '', None)]


def test_an_argument_without_a_default_must_be_given():
  def builder(bits: int, scale: float | None = None) -> None:
    """Builds."""

  assert _told(builder) == [('bits', 'int', None), ('scale', 'float | None', 'None')]
