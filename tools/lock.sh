#!/bin/sh
# Regenerates requirements.txt, fully pinned with hashes, from requirements.in and overrides.txt.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/uv pip compile requirements.in --override overrides.txt --output-file requirements.txt "$@" \
  --python-version 3.11 --python-platform x86_64-manylinux_2_31 --only-binary grpcio \
  --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --quiet
