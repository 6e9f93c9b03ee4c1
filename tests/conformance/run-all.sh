#!/bin/sh
# Installs what the conformance run needs, where it is missing or outdated, and
# runs it:  tests/conformance/run-all.sh MOORLINE_BINARY [--only ts,py,everything] [--out DIRECTORY]
set -eu

if [ $# -lt 1 ]; then
  echo "usage: run-all.sh MOORLINE_BINARY [--only ts,py,everything] [--out DIRECTORY]" >&2
  exit 2
fi
binary=$1
shift
if [ ! -x "$binary" ]; then
  echo "not an executable: $binary" >&2
  exit 2
fi
binary=$(realpath "$binary")
here=$(realpath "$(dirname "$0")")

# A copy of each lock beside what was installed from it tells whether it is up to date.
if ! cmp -s "$here/package-lock.json" "$here/node_modules/.installed-lock"; then
  (cd "$here" && npm ci --no-audit --no-fund --loglevel=error)
  cp "$here/package-lock.json" "$here/node_modules/.installed-lock"
fi
if ! cmp -s "$here/requirements.txt" "$here/.venv/installed-requirements"; then
  python3 -m venv --clear "$here/.venv"
  "$here/.venv/bin/pip" install --quiet --disable-pip-version-check --no-deps \
    -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$here/.venv/installed-requirements"
fi

exec node "$here/run-all.mjs" "$binary" "$@"
