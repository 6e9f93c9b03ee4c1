#!/bin/sh
# Owns: installing what asks the admin API all that its document allows, and does not: .venv. Does nothing where nothing changed.
set -eu
cd "$(dirname "$0")"

sum=$(sha256sum requirements.txt | cut -d' ' -f1)
[ -f .venv/.stamp ] && [ "$(cat .venv/.stamp)" = "$sum" ] && exit 0
rm -rf .venv
"${PYTHON:-python3}" -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
printf '%s\n' "$sum" > .venv/.stamp
