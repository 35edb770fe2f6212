#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs every fuzzer over its corpus and then SECONDS longer on new inputs, as many at a time as there are cores. What is
# found stays in BUILD/fuzz/NAME.found. fuzz.sh BUILD SECONDS
set -u
build=$1 seconds=$2
list=""
for src in test/fuzz/*.c; do
    name=$(basename "$src" .c)
    [ -x "$build/fuzz/$name" ] && list="$list $name"
done
[ -n "$list" ] || { echo "fuzz: no target was built" >&2; exit 1; }

export build seconds
# One target: exit 0 also where it failed, so that the others go on; the verdict stands in its .rc file.
one='name=$0; dir=$build/fuzz
mkdir -p "$dir/$name.new" "$dir/$name.found" "test/fuzz/corpus/$name"
"$dir/$name" -artifact_prefix="$dir/$name.found/" -seed="${FUZZ_SEED:-1}" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=10 -max_len=65536 \
    -print_final_stats=1 -verbosity=0 "$dir/$name.new" "test/fuzz/corpus/$name" >"$dir/$name.log" 2>&1
echo $? >"$dir/$name.rc"'
printf '%s\n' $list | xargs -P "$(nproc)" -I NAME sh -c "$one" NAME

failed=0
for name in $list; do
    rc=$(cat "$build/fuzz/$name.rc")
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/fuzz/$name.log")
    seeds=$(ls "test/fuzz/corpus/$name" | wc -l)
    printf '%-14s %5d seeds %10d runs  %s\n' "$name" "$seeds" "${runs:-0}" "$([ "$rc" = 0 ] && echo ok || echo "failed (exit $rc)")"
    if [ "$rc" != 0 ]; then
        failed=1
        grep -E '^(SUMMARY|==[0-9]*==ERROR|.*runtime error|artifact_prefix)' "$build/fuzz/$name.log" | head -5
        echo "whole output: $build/fuzz/$name.log"
    fi
done
exit $failed
