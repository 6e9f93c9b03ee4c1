#!/usr/bin/env bash
# Starts a tier from its own files on free loopback ports, with sample servers behind it, prints where it is, and goes on until it is
# told to stop (Ctrl-C, SIGTERM): then it takes everything with it. In the files nothing but addresses and paths is replaced.
#
#   deploy/tiers/run.sh 1|2|3|4 [nginx|haproxy] [--account FILE]      # what stands in front; tier 3 knows both
#
# --account: at the end, and at each SIGUSR1, it writes into FILE what each process has taken since all was ready: CPU seconds and
# peak memory, and of Redis what it holds. Beside the report of a load run that is what `moorline plan` is held against.
#
# It needs the programs of the tier (nginx, haproxy, redis-server), openssl, and moorline: $MOORLINE, or what was built here.
# SERVERS=N starts another number of servers than the file names (at most as many).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
readonly here root
PATH=$PATH:/usr/sbin

say() { printf '%s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

moorline() {
    local found
    for found in "${MOORLINE:-}" "$root/target/release/moorline" "$root/target/debug/moorline" "$(command -v moorline || true)"; do
        if [ -n "$found" ] && [ -x "$found" ]; then printf '%s' "$found"; return; fi
    done
    fail "no moorline: build it (cargo build --release), or name it in MOORLINE"
}

# ---- processes ----------------------------------------------------------------------------------------------------------

pids=()
# Starts a process in the background, under a name: its output goes to log/NAME.log, its id to `pids`.
start() {
    local name=$1
    shift
    "$@" >"$work/log/$name.log" 2>&1 </dev/null &
    pids+=($!)
    printf '%s %s\n' "$name" "$!" >>"$work/pids"
}

stop() {
    trap - EXIT
    trap '' INT TERM USR1
    if [ -n "$begun" ]; then account_or_say; fi
    local at
    # In the other direction: whoever is in front goes first.
    for ((at = ${#pids[@]} - 1; at >= 0; at--)); do kill -TERM "${pids[at]}" 2>/dev/null || true; done
    local tries=0
    while [ "$tries" -lt 30 ] && any_alive; do sleep 0.1; tries=$((tries + 1)); done
    for at in "${pids[@]}"; do kill -KILL "$at" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}

any_alive() {
    local pid
    for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null && return 0; done
    return 1
}

# ---- what they take -----------------------------------------------------------------------------------------------------

# CPU ticks of a process and its children (nginx has workers), and their peak memory in KiB.
taken() {
    local pid=$1 child ticks=0 kib=0 stat
    for child in "$pid" $(cat "/proc/$pid/task/"*/children 2>/dev/null); do
        # Behind the name, which may hold anything: utime and stime are the 12th and 13th.
        stat=$(cat "/proc/$child/stat" 2>/dev/null) || continue
        read -r -a stat <<<"${stat##*) }"
        ticks=$((ticks + stat[11] + stat[12]))
        kib=$((kib + $(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$child/status")))
    done
    REPLY="$ticks $kib"
}

# What a Redis holds and has run, as members of an object; nothing for other processes.
held() {
    local at port=${redis_ports[$1]:-}
    REPLY=
    # In a trap, a bare "return" would answer what was before the trap.
    if [ -z "$port" ]; then return 0; fi
    at=$(REDISCLI_AUTH=$(cat "$work/redis-password") redis-cli -p "$port" info everything | tr -d '\r')
    REPLY=", \"used_memory\": $(sed -n 's/^used_memory:\([0-9]*\)$/\1/p' <<<"$at")"
    REPLY+=", \"scripts\": $(sed -n 's/^cmdstat_evalsha:calls=\([0-9]*\),.*/\1/p' <<<"$at" | grep . || echo 0)"
}

# From here on it counts.
begin_account() {
    local name pid
    begun=$(awk '{ print $1 }' /proc/uptime)
    while read -r name pid; do
        taken "$pid"
        at_begin[$name]=${REPLY% *}
        held "$name"
        scripts_at_begin[$name]=${REPLY##* }
    done <"$work/pids"
}

write_account() {
    local name pid ticks kib more scripts separator=
    {
        printf '{\n  "format": "moorline-tier-account", "version": 1, "tier": %s,\n' "$(basename "$tier" | cut -d- -f1)"
        printf '  "seconds": %s,\n  "processes": [' "$(awk -v begun="$begun" '{ printf "%.2f", $1 - begun }' /proc/uptime)"
        while read -r name pid; do
            taken "$pid"
            read -r ticks kib <<<"$REPLY"
            held "$name"
            more=$REPLY
            if [ -n "$more" ]; then
                scripts=$((${more##* } - scripts_at_begin[$name]))
                more="${more% *} $scripts"
            fi
            printf '%s\n    { "name": "%s", "cpu_seconds": %s, "memory_peak_kib": %s%s }' "$separator" "$name" \
                "$(awk -v ticks=$((ticks - at_begin[$name])) -v second="$(getconf CLK_TCK)" 'BEGIN { printf "%.2f", ticks / second }')" "$kib" "$more"
            separator=,
        done <"$work/pids"
        printf '\n  ]\n}\n'
    } >"$account.new"
    mv "$account.new" "$account"
}

account_or_say() { write_account || say "no account could be written to $account" >&2; }

# ---- waiting ------------------------------------------------------------------------------------------------------------

# Waits until something answers at a port, and whoever shall is still there.
await_port() {
    local name=$1 port=$2 tries=0
    until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 600 ] || ! kill -0 "${pids[-1]}" 2>/dev/null; then
            cat "$work/log/$name.log" >&2
            fail "$name does not start"
        fi
        sleep 0.05
    done
}

# Waits for what `sed` finds in the output of a process.
await_line() {
    local name=$1 found=$2 tries=0
    until REPLY=$(sed -n "$found" "$work/log/$name.log") && [ -n "$REPLY" ]; do
        tries=$((tries + 1))
        [ "$tries" -le 600 ] || { cat "$work/log/$name.log" >&2; fail "$name does not start"; }
        sleep 0.05
    done
}

# Ports below those that the system hands out by itself, each once.
declare -A taken=()
free_port() {
    local port
    while :; do
        port=$((RANDOM % 12000 + 20000))
        if [ -n "${taken[$port]:-}" ] || (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue; fi
        taken[$port]=1
        REPLY=$port
        return
    done
}

# ---- what a tier consists of --------------------------------------------------------------------------------------------

# What is replaced in all files: "s#shipped#instead#g" each.
replaced=()
put() { replaced+=(-e "s#$2#$1#g"); }

certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=mcp.example.com \
        -addext subjectAltName=DNS:mcp.example.com,DNS:localhost,IP:127.0.0.1 -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
    cat "$work/cert.pem" "$work/key.pem" >"$work/both.pem"
    put "$work/cert.pem" /etc/ssl/mcp.example.com.pem
    put "$work/key.pem" /etc/ssl/mcp.example.com.key
    put "$work/both.pem" /etc/haproxy/mcp.example.com.pem
}

# Sample servers, each a process of its own: those of the demo, whose own gateway stays unused.
servers() {
    local at names
    mapfile -t names < <(grep -o 'http://[0-9.]*:3000' "$tier/moorline.toml" | sort -u | sed 's#http://##')
    local count=${SERVERS:-${#names[@]}}
    if [ "$count" -lt 1 ] || [ "$count" -gt "${#names[@]}" ]; then fail "SERVERS: 1 to ${#names[@]}"; fi
    for ((at = 0; at < count; at++)); do
        free_port
        start "server-$((at + 1))" "$program" demo --servers 1 --listen "127.0.0.1:$REPLY"
    done
    for ((at = 0; at < count; at++)); do
        await_line "server-$((at + 1))" 's#.*pier-1 *http://\([0-9.:]*\)/mcp.*#\1#p'
        put "$REPLY" "${names[at]}"
    done
    for ((at = count; at < ${#names[@]}; at++)); do replaced+=(-e "/${names[at]}/d"); done
}

redis() {
    local password nodes at port bus members=()
    password=$(openssl rand -hex 16)
    printf '%s' "$password" >"$work/redis-password"
    put "$work/redis-password" /etc/moorline/redis-password
    mapfile -t nodes < <(grep -o '10\.0\.2\.[0-9]*:6379' "$tier/moorline.toml" | sort -u)
    for ((at = 0; at < ${#nodes[@]}; at++)); do
        free_port
        port=$REPLY
        free_port
        bus=$REPLY
        mkdir "$work/redis-$((at + 1))"
        local arguments=(--port "$port" --bind 127.0.0.1 --dir "$work/redis-$((at + 1))" --save '' --maxmemory-policy noeviction
            --requirepass "$password" --masterauth "$password")
        if [ "${#nodes[@]}" -gt 1 ]; then
            arguments+=(--cluster-enabled yes --cluster-port "$bus" --cluster-announce-ip 127.0.0.1 --cluster-node-timeout 2000)
        fi
        start "redis-$((at + 1))" redis-server "${arguments[@]}"
        await_port "redis-$((at + 1))" "$port"
        redis_ports[redis-$((at + 1))]=$port
        members+=("127.0.0.1:$port@$bus")
        put "127.0.0.1:$port" "${nodes[at]}"
    done
    if [ "${#nodes[@]}" -gt 1 ]; then
        REDISCLI_AUTH=$password redis-cli --cluster create "${members[@]}" --cluster-yes >"$work/log/cluster.log" ||
            { cat "$work/log/cluster.log" >&2; fail "no Redis Cluster"; }
    fi
}

# One instance for each that the proxy's file names; one where there is no proxy.
instances() {
    local at port admin names=(127.0.0.1:8080)
    printf '%s' "$(openssl rand -hex 16)" >"$work/admin-token"
    if [ -n "$front" ]; then mapfile -t names < <(grep -o 'server .*:8080' "$front" | grep -o '[0-9.]*:8080'); fi
    for ((at = 0; at < ${#names[@]}; at++)); do
        free_port
        port=$REPLY
        free_port
        admin=$REPLY
        free_port
        mkdir "$work/instance-$((at + 1))"
        sed "${replaced[@]}" -e "s#0.0.0.0:8443#127.0.0.1:$REPLY#" -e "s#\(0.0.0.0\|127.0.0.1\):8080#127.0.0.1:$port#" \
            -e "s#\(0.0.0.0\|127.0.0.1\):9090#127.0.0.1:$admin#" -e "s#10\.0\.0\.2\"#127.0.0.1\"#" \
            -e 's#^allowed_hosts = .*#allowed_hosts = ["mcp.example.com", "127.0.0.1", "localhost"]#' -e "s#/etc/moorline/admin-token#$work/admin-token#" \
            -e "s#/var/lib/moorline#$work/instance-$((at + 1))#" "$tier/moorline.toml" >"$work/instance-$((at + 1)).toml"
        start "instance-$((at + 1))" "$program" serve --config "$work/instance-$((at + 1)).toml"
        await_port "instance-$((at + 1))" "$admin"
        await_ready "$admin"
        fronted+=(-e "s#${names[at]}#127.0.0.1:$port#")
        say "instance $((at + 1)): http://127.0.0.1:$port/mcp, admin http://127.0.0.1:$admin, configuration $work/instance-$((at + 1)).toml"
        if [ -z "$front" ]; then plain=$port secure=$REPLY; fi
    done
}

await_ready() {
    local tries=0 status
    until status=$(exec 3<>"/dev/tcp/127.0.0.1/$1" && printf 'GET /readyz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3 && head -n 1 <&3) &&
        [[ $status == *' 200 '* ]]; do
        tries=$((tries + 1))
        [ "$tries" -le 200 ] || fail "an instance does not become ready: see $work"
        sleep 0.05
    done
}

proxy() {
    free_port
    secure=$REPLY
    free_port
    plain=$REPLY
    if [[ $front == *.cfg ]]; then
        sed "${replaced[@]}" "${fronted[@]}" -e "s#bind :443 \(.*\)#bind 127.0.0.1:$secure \1\n    bind 127.0.0.1:$plain#" "$front" |
            as_whoever_runs_it >"$work/haproxy.cfg"
        start haproxy haproxy -db -f "$work/haproxy.cfg"
        await_port haproxy "$plain"
    else
        local temporary='' kind
        for kind in client_body proxy fastcgi uwsgi scgi; do temporary+=" ${kind}_temp_path $work/$kind;"; done
        sed "${replaced[@]}" "${fronted[@]}" -e "s#listen 443\(.*\);#listen 127.0.0.1:$secure\1; listen 127.0.0.1:$plain;#" \
            -e "s#/var/log/nginx#$work#" -e "s#/run/nginx.pid#$work/nginx.pid#" -e "s#^http {#http {$temporary#" "$front" >"$work/nginx.conf"
        start nginx nginx -c "$work/nginx.conf" -p "$work" -g 'daemon off;'
        await_port nginx "$plain"
    fi
}

# Only root can become somebody else, and lock itself in.
as_whoever_runs_it() { if [ "$(id -u)" -eq 0 ]; then cat; else grep -vE '^ *(user|group|chroot) '; fi; }

# ---- the tier -----------------------------------------------------------------------------------------------------------

account=
begun=
arguments=()
while [ "$#" -gt 0 ]; do
    case "$1" in
    --account) [ "$#" -gt 1 ] || fail "--account: which file?"; account=$(realpath -m "$2"); shift ;;
    *) arguments+=("$1") ;;
    esac
    shift
done
set -- "${arguments[@]}"
declare -A redis_ports=() at_begin=() scripts_at_begin=()

tier=$(echo "$here/${1:-none}"-*)
[ -d "$tier" ] || fail "which tier? 1, 2, 3 or 4"
front=
case "${2:-}" in
nginx) front=$tier/nginx.conf ;;
haproxy) front=$tier/haproxy.cfg ;;
'') for file in "$tier/nginx.conf" "$tier/haproxy.cfg"; do if [ -z "$front" ] && [ -f "$file" ]; then front=$file; fi; done ;;
*) fail "in front: nginx or haproxy" ;;
esac
[ -z "$front" ] || [ -f "$front" ] || fail "this tier has no $(basename "$front")"

program=$(moorline)
ulimit -n "$(ulimit -Hn)"
work=$(mktemp -d "${TMPDIR:-/tmp}/moorline-tier.XXXXXX")
mkdir "$work/log"
trap stop EXIT
trap 'exit 0' INT TERM

fronted=()
certificate
servers
if grep -q '10\.0\.2\.' "$tier/moorline.toml"; then redis; fi
instances
if [ -n "$front" ]; then proxy; fi
say "processes: $work/pids; admin token: $work/admin-token; certificate: $work/cert.pem"
say "TLS: https://127.0.0.1:$secure/mcp"
if [ -n "$account" ]; then
    begin_account
    trap account_or_say USR1
fi
say "URL: http://127.0.0.1:$plain/mcp"
# A signal that is heard ends a wait, not what is waited for.
until wait; do :; done
