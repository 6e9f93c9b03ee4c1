#!/bin/sh
# Owns: installing the traced client and server of the tests. Does nothing where nothing changed.
set -eu
cd "$(dirname "$0")"

sum=$(sha256sum package-lock.json | cut -d' ' -f1)
[ -f node_modules/.stamp ] && [ "$(cat node_modules/.stamp)" = "$sum" ] && exit 0
npm ci --no-audit --no-fund --loglevel=error
printf '%s\n' "$sum" > node_modules/.stamp
