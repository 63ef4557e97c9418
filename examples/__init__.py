"""Scripts and a binary to start from."""

import experiments  # noqa: F401 - quiets TensorFlow, which must come before anything imports it.
