#!/bin/sh
# Owns: installing the SDKs beside the drivers: node_modules, .venv-v1, .venv-v2. Does nothing where nothing changed.
set -eu
cd "$(dirname "$0")"

# Runs the rest of its arguments unless the stamp file holds the checksum of the lock file.
unless_fresh() {
    stamp=$1 lock=$2
    shift 2
    sum=$(sha256sum "$lock" | cut -d' ' -f1)
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ] && return 0
    "$@"
    printf '%s\n' "$sum" > "$stamp"
}

install_npm() {
    npm ci --no-audit --no-fund --loglevel=error
}

install_venv() {
    rm -rf ".venv-$1"
    "${PYTHON:-python3}" -m venv ".venv-$1"
    ".venv-$1/bin/pip" install --quiet --disable-pip-version-check -r "requirements-$1.txt"
}

unless_fresh node_modules/.stamp package-lock.json install_npm
unless_fresh .venv-v1/.stamp requirements-v1.txt install_venv v1
unless_fresh .venv-v2/.stamp requirements-v2.txt install_venv v2
