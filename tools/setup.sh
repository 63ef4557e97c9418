#!/bin/sh
# Makes .venv from requirements.txt: finds a Python 3.11, or says exactly what is missing; does nothing when up to date.
# Says one line a step; what the package manager says is in the log beside .venv, which is named when a step fails.
set -eu
venv=${VENV:-.venv}
stamp=$venv/.installed
log=$venv.log
wanted=$(cksum < requirements.txt)

# Lets scripts anywhere import the suite of this folder, by the Python of .venv.
tell_where() { pwd > "$venv/lib/python3.11/site-packages/leanfed.pth"; }

if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then tell_where; exit 0; fi

fail() { echo "setup: $*" >&2; exit 2; }

is_python_311() { [ "$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = 3.11 ]; }

find_python_311() {
  for candidate in ${PYTHON:-} python3.11 python3 python; do
    if is_python_311 "$candidate"; then echo "$candidate"; return; fi
  done
  uv python find 3.11 2>/dev/null || true
}

# Runs the rest of its arguments as a step; what they print goes to the log.
step() {
  echo "setup: $1"
  shift
  "$@" >> "$log" 2>&1 || { tail -n 3 "$log" >&2; fail "that failed; all that was printed is in $log. Mend it, and run this again"; }
}

python=$(find_python_311)
[ -n "$python" ] || fail "Python 3.11 is missing. Install it (Debian 12: apt-get install python3.11-venv; elsewhere: uv python install 3.11) or name it: make PYTHON=/path/to/python3.11"
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || fail "tensorflow-federated 0.87 is published for Linux on x86-64 only; this is $(uname -s) on $(uname -m)"
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "this Python 3.11 cannot make virtual environments. On Debian 12: apt-get install python3.11-venv"

: > "$log"
is_python_311 "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1 || step "making $venv" "$python" -m venv --clear "$venv"
rm -f "$stamp"
# --no-deps: requirements.txt is complete, and the one pin it overrides (jaxlib) would make pip's resolver refuse it.
step "installing the packages of requirements.txt into $venv; the first time takes minutes" "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off --no-deps --require-hashes --only-binary grpcio -r requirements.txt
tell_where
echo "$wanted" > "$stamp.part"
mv "$stamp.part" "$stamp"
echo 'setup: done'
