#!/bin/sh
# Fuzzes every target for a while on the stable compiler: fuzz/run.sh [seconds each, 60 by default].
# Findings are written to fuzz/findings/; the exit status is 1 if there is one.
set -u
cd "$(dirname "$0")" || exit 2
seconds=${1:-60}
case $seconds in '' | *[!0-9]*) echo "usage: $0 [seconds]" >&2; exit 2 ;; esac

# What cargo-fuzz sets on nightly: inline counters and their table of places, which libFuzzer reads.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Clink-dead-code -Ccodegen-units=1"
export RUSTFLAGS
# An explicit target keeps the flags away from build scripts.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --quiet --release --bins --target "$host" || exit 2

mkdir -p findings
# One target, to its end.
fuzz_one() {
    target=$1
    mkdir -p "target/corpus/$target" "corpus/$target"
    log=target/$target.log
    # New inputs go to the first folder; the seeds in the second stay as they are.
    if "target/$host/release/$target" -max_total_time="$seconds" -max_len=4096 -rss_limit_mb=2048 -timeout=10 \
        -artifact_prefix="findings/$target-" "target/corpus/$target" "corpus/$target" >"$log" 2>&1; then
        echo "ok      $target: $(grep -E '^Done' "$log"), $(grep -oE 'cov: [0-9]+' "$log" | tail -1)"
    else
        echo "FAILED  $target: see fuzz/$log"
        grep -E 'panicked|ERROR|Test unit written|^assertion|left:|right:' "$log" | head -8
        return 1
    fi
}

# As many at a time as there are cores.
status=0
cores=$(nproc)
running=
count=0
for source in targets/*.rs; do
    fuzz_one "$(basename "$source" .rs)" &
    running="$running $!"
    count=$((count + 1))
    if [ "$count" -ge "$cores" ]; then
        # shellcheck disable=SC2086 # the first of the list
        set -- $running
        wait "$1" || status=1
        shift
        running=$*
        count=$((count - 1))
    fi
done
for job in $running; do
    wait "$job" || status=1
done
exit $status
