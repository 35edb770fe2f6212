#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs test programs from the repository's root, shows one line each, and ends with "N passed, N failed, N skipped".
# A program that crashes or prints no count is one failure.
set -u
build=$1
shift
passed=0 failed=0 skipped=0
log=$build/test.log
: >"$log"
for bin in "$@"; do
    name=${bin#"$build"/test/}
    start=$(date +%s)
    out=$(timeout "${TEST_TIMEOUT:-900}" "$bin" 2>&1)
    rc=$?
    secs=$(($(date +%s) - start))
    { echo "== $name (exit $rc)"; echo "$out"; } >>"$log"
    p=$(echo "$out" | sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' | awk '{s += $1} END {print s + 0}')
    f=$(echo "$out" | sed -n 's/^\[  FAILED  \] \([0-9]*\) test.*/\1/p' | awk '{s += $1} END {print s + 0}')
    s=$(echo "$out" | sed -n 's/^\[  SKIPPED \] \([0-9]*\) test.*/\1/p' | awk '{s += $1} END {print s + 0}')
    if [ $rc -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
    if [ $rc -eq 0 ] && [ $((p + f + s)) -eq 0 ]; then f=1; fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-34s %4d passed %3d failed %3d skipped  %4d s\n' "$name" "$p" "$f" "$s" "$secs"
    if [ "$f" -gt 0 ]; then echo "$out" | grep -v '^\[ RUN\|^\[       OK' | tail -25; fi
done
echo "full output: $log"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
