#!/bin/sh
# Runs the tests under Bazel, without network and with the Python of the virtual environment: tools/bazel_test.sh [target...]
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}

fail() { echo "bazel-test: $*" >&2; exit 2; }

# Debian calls its Bazel 4.2.3 bazel-4, and .bazelversion does too; other launchers know the release by its full number only.
command -v bazel-4 >/dev/null || export USE_BAZEL_VERSION="${USE_BAZEL_VERSION:-4.2.3}"
command -v bazel >/dev/null || fail "Bazel is missing. On Debian 12: apt-get install bazel-bootstrap"
[ -x "$venv/bin/python" ] || fail "$venv/bin/python is missing: make the virtual environment first (tools/setup.sh)"
bin=$(cd "$venv/bin" && pwd)

# Tests share one home, so that the corpus is prepared once; it has a fixed name, or Bazel would repeat tests that passed.
home=${XDG_CACHE_HOME:-$HOME/.cache}/bazel-test-home
mkdir -p "$home"
trap 'bazel shutdown' EXIT

# Folder by folder: //... would also walk through the virtual environment and the runs.
if [ $# -eq 0 ]; then
  set -- //:all
  for build in */BUILD; do set -- "$@" "//${build%/BUILD}/..."; done
fi
# The toolchains of Bazel's own would pick whatever python3 comes first. Without explicit_init Bazel adds empty __init__.py
# files, so that imports would differ from those of the tree. Symlinks to the results would stay behind in the tree.
bazel test \
  --noincompatible_use_python_toolchains \
  --python_path="$bin/python" \
  --incompatible_default_to_explicit_init_py \
  --symlink_prefix=/ \
  --experimental_repository_disable_download \
  --nosandbox_default_allow_network \
  --sandbox_writable_path="$home" \
  --test_env=HOME="$home" \
  --test_env=PATH="$bin:/usr/local/bin:/usr/bin:/bin" \
  --test_env=PYTHONDONTWRITEBYTECODE=1 \
  --test_timeout=1800 \
  --test_output=errors \
  --nosandbox_debug \
  --keep_going \
  -- "$@"
