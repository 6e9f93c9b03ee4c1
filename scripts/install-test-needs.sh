#!/usr/bin/env bash
# Installs what the tests need and the machine lacks (Debian and its kin), and nothing else. Where all is there it
# changes nothing and needs no network. Rust itself is not installed: https://rustup.rs
set -euo pipefail
cd "$(dirname "$0")/.."

readonly node_at_least=20
readonly tools=target/tools

say() { printf '   %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
# Debian keeps servers where only root's PATH looks.
has_nginx() { has nginx || [ -x /usr/sbin/nginx ]; }
has_haproxy() { has haproxy || [ -x /usr/sbin/haproxy ]; }
node_is_fit() { has node && [ "$(node --version | sed 's/^v\([0-9]*\).*/\1/')" -ge "$node_at_least" ]; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif has sudo; then sudo "$@"
    else fail "not root and no sudo; as root: $*"
    fi
}

missing_packages() {
    local missing=()
    # The C compiler builds aws-lc, mimalloc and libFuzzer; cmake and clang are not needed.
    if ! { has gcc && has g++ && has make; }; then missing+=(build-essential); fi
    # In `make bench` and in the test that compares the spread of sessions.
    has_nginx || missing+=(nginx)
    # A balancer that sends PROXY headers.
    has_haproxy || missing+=(haproxy)
    # For the stores that instances share, Sentinel and Cluster included.
    { has redis-server && has redis-cli; } || missing+=(redis-server)
    has openssl || missing+=(openssl)
    # Counts instructions.
    has valgrind || missing+=(valgrind)
    # For instances whose clocks are wrong.
    has faketime || missing+=(faketime)
    has python3 || missing+=(python3)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    has node || missing+=(nodejs)
    has npm || missing+=(npm)
    has curl || missing+=(curl)
    # Another load generator, to hold our own against.
    has wrk || missing+=(wrk)
    # The dashboard is looked at in a real browser.
    has chromium || missing+=(chromium)
    echo "${missing[@]}"
}

apt_install() {
    has apt-get || fail "missing: $*; no apt-get here, install them by hand"
    say "installing: $*"
    export DEBIAN_FRONTEND=noninteractive
    # The lists may never have been fetched, or be old; where that fails the ones at hand may still do.
    as_root apt-get update -qq || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null
}

# Debian starts servers as it installs them, and at every boot. The tests start their own: ports 80 and 6379 stay free.
install_without_services() {
    local policy=/usr/sbin/policy-rc.d ours=no
    if [ ! -e "$policy" ]; then
        ours=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    local status=0
    apt_install "$@" || status=$?
    if [ "$ours" = yes ]; then as_root rm -f "$policy"; fi
    [ "$status" -eq 0 ] || fail "could not install: $*"
    local service
    for service in nginx haproxy redis-server; do
        case " $* " in
        *" $service "*) if has systemctl; then as_root systemctl disable --now "$service" >/dev/null 2>&1 || true; fi ;;
        esac
    done
}

# Debian 12 has Node 18; the npm package `node` brings a newer one, which `make` then finds before it.
install_node() {
    local version
    version=$(sed -n 's/^ *"node": "\([0-9.]*\)",*$/\1/p' tests/conformance/package.json)
    say "node $(node --version) is too old: installing $version into $tools"
    npm install --prefix "$tools" --no-save --no-audit --no-fund --loglevel=error "node@$version"
}

# Debian 12 has Valkey among its backports alone, and beside Redis it need not be installed: only unpacked, for the tests.
install_valkey() {
    local place="$PWD/$tools/valkey" work
    has apt-get || fail "missing: valkey-server (8 or later); no apt-get here, install it by hand"
    work=$(mktemp -d)
    say "unpacking valkey into $tools/valkey"
    # Where the release has it, the lists at hand do.
    if ! (cd "$work" && apt-get download -qq valkey-tools 2>/dev/null); then
        # shellcheck disable=SC1091
        echo "deb http://deb.debian.org/debian $(. /etc/os-release && echo "$VERSION_CODENAME")-backports main" >"$work/list"
        mkdir -p "$work/lists/partial"
        local options=(-qq -o "Dir::Etc::sourcelist=$work/list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
            -o "Dir::Cache::pkgcache=$work/packages" -o "Dir::Cache::srcpkgcache=$work/sources" -o APT::Sandbox::User=root)
        apt-get "${options[@]}" update || fail "cannot look for valkey-tools among the backports"
        (cd "$work" && apt-get "${options[@]}" download valkey-tools) || fail "no valkey-tools: install valkey-server by hand"
    fi
    rm -rf "$place"
    mkdir -p "$place"
    dpkg-deb -x "$work"/valkey-tools_*.deb "$place"
    # One program under several names; the package of the server has but the link.
    ln -sf valkey-check-rdb "$place/usr/bin/valkey-server"
    rm -rf "$work"
    "$place/usr/bin/valkey-server" --version >/dev/null || fail "the valkey that was unpacked does not run here"
}

# For promtool, and for one that scrapes in a test. Only unpacked: installed, it would be a service.
install_prometheus() {
    local place="$PWD/$tools/prometheus" work
    has apt-get || fail "missing: prometheus and promtool; no apt-get here, install them by hand"
    work=$(mktemp -d)
    say "unpacking prometheus into $tools/prometheus"
    if ! (cd "$work" && apt-get -o APT::Sandbox::User=root download -qq prometheus 2>/dev/null); then
        # The lists may never have been fetched.
        as_root apt-get update -qq || true
        (cd "$work" && apt-get -o APT::Sandbox::User=root download -qq prometheus) || fail "no prometheus: install it by hand"
    fi
    rm -rf "$place"
    mkdir -p "$place"
    dpkg-deb -x "$work"/prometheus_*.deb "$place"
    rm -rf "$work"
    "$place/usr/bin/promtool" --version >/dev/null 2>&1 || fail "the promtool that was unpacked does not run here"
}

install_rust_components() {
    has cargo || fail "no cargo: install Rust from https://rustup.rs"
    local missing=()
    cargo fmt --version >/dev/null 2>&1 || missing+=(rustfmt)
    cargo clippy --version >/dev/null 2>&1 || missing+=(clippy)
    [ "${#missing[@]}" -eq 0 ] && return
    has rustup || fail "missing: ${missing[*]}, and no rustup to add them"
    say "adding: ${missing[*]}"
    rustup component add "${missing[@]}"
}

export PATH="$PWD/$tools/node_modules/.bin:$PATH:$PWD/$tools/valkey/usr/bin:$PWD/$tools/prometheus/usr/bin"
install_rust_components
read -ra packages <<<"$(missing_packages)"
if [ "${#packages[@]}" -gt 0 ]; then install_without_services "${packages[@]}"; fi
node_is_fit || install_node
has valkey-server || install_valkey
{ has prometheus && has promtool; } || install_prometheus
say "node $(node --version), $(python3 --version), $(redis-server --version | cut -d" " -f1-3), $(valkey-server --version | cut -d" " -f1-3), $(cargo --version)"
tests/sdk/install.sh
tests/oauth/install.sh
tests/dashboard/install.sh
tests/admin/install.sh
tests/otel/install.sh
tests/kubernetes/install.sh
tests/deploy/install.sh
# tests/conformance/run-all.sh installs the suite and its servers by itself.
say "all that the tests need is here"
