#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What `make check` runs: each stage is one line with its seconds, and the last line is "N passed, N failed, N skipped". A
# stage skips (exit 77) where a tool is not installed. Output of a stage: $B/check/STAGE.log. check.sh [STAGE ...]
set -u
b=${B:-build}
fuzz_seconds=${FUZZ_SECONDS:-20}
jobs=$(nproc)
want=" $* "
passed=0 failed=0 skipped=0
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
mkdir -p "$b/check"
PATH=$PATH:/usr/lib/llvm-14/bin  # the symbolizer of the sanitizers

stage() {
    name=$1 log=$b/check/$1.log
    shift
    case $want in "  " | *" $name "*) ;; *) return ;; esac
    start=$(date +%s)
    "$@" >"$log" 2>&1
    rc=$?
    secs=$(($(date +%s) - start))
    case $rc in
    0) passed=$((passed + 1)); printf '%-10s ok       %4d s  %s\n' "$name" $secs "$(tail -1 "$log")" ;;
    77) skipped=$((skipped + 1)); printf '%-10s skipped  %4d s  %s\n' "$name" $secs "$(tail -1 "$log")" ;;
    *) failed=$((failed + 1)); printf '%-10s FAILED   %4d s  %s\n' "$name" $secs "$log"; tail -40 "$log" ;;
    esac
}
have() {
    for tool in "$@"; do
        command -v "$tool" >/dev/null || { echo "$tool is not installed"; return 77; }
    done
}
build() { make --no-print-directory -s -j"$jobs" "$@"; }
# Programs of the test folders, by name below the build folder: bins BUILD FOLDER...
bins() {
    at=$1
    shift
    for folder in "$@"; do
        for src in test/$folder.c test/$folder/*.c; do
            [ -f "$src" ] && printf '%s\n' "$at/${src%.c}"
        done
    done
}
python() { have python3 && python3 "$@"; }

format() {
    have clang-format-14 || return
    git ls-files '*.c' '*.h' | xargs clang-format-14 --dry-run -Werror && echo "as .clang-format says"
}
# The kernels of chips/cpu are left out: cppcheck does not read their macros.
lint() {
    have cppcheck || return
    cppcheck -q --std=c11 --language=c --enable=warning,portability,performance --inline-suppr --error-exitcode=1 \
        --suppress='uninitvar:*.cl' -D__GNUC__ -Iinclude -I. -j"$jobs" \
        base num op format text chip run model infer train rl http serve cli chips/ref chips/null chips/odd chips/opencl &&
        echo "cppcheck: no finding"
}
# Extracted pages are fresh, and the C in hand-written pages compiles.
docs() {
    [ -f tools/docs.py ] || { echo "no extracted pages"; return 77; }
    python tools/docs.py --check && sh tools/doc_blocks.sh
}
# Objects of the compiler of `make test`: every kernel text, and what is built for the machine's own baseline.
fused() {
    have python3 objdump addr2line || return
    isa=$(for s in chips/cpu/isa_*.c; do case $s in *neon*) ;; *) echo "$b/${s%.c}.o" ;; esac; done)
    build B="$b" $isa && python3 tools/fused.py $isa
}
# Everything by the other compiler, whose kernels and models must give the recorded bits too.
clang() {
    have clang-14 || return
    bits=$(bins "$b/clang" op/conform_cpu golden/models unit/num_canon)
    build B="$b/clang" CC=clang-14 OPT=-O2 all && build B="$b/clang" CC=clang-14 OPT=-O2 $bits &&
        sh tools/run-tests.sh "$b/clang" $bits
}
# Addresses and undefined behaviour, by the tests that read bytes, and by those that make calls fail.
asan() {
    have clang-14 || return
    list=$(bins "$b/asan" unit golden fault)
    build B="$b/asan" CC=clang-14 OPT=-O1 SAN=address,undefined $list &&
        ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
            sh tools/run-tests.sh "$b/asan" $list
}
# The same over whole models: many minutes.
asan_law() {
    have clang-14 || return
    list=$(bins "$b/asan" law grad/ops)
    build B="$b/asan" CC=clang-14 OPT=-O1 SAN=address,undefined $list &&
        UBSAN_OPTIONS=print_stacktrace=1 sh tools/run-tests.sh "$b/asan" $list
}
# Races: the pool and the queue of base/, the cpu chip's threads, the engine's, the server's.
tsan() {
    have clang-14 || return
    list=$(bins "$b/tsan" unit/base_thread unit/infer_engine law/train_short e2e/serve_api e2e/serve_swap e2e/serve_chats)
    build B="$b/tsan" CC=clang-14 OPT=-O1 SAN=thread $list &&
        TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 sh tools/run-tests.sh "$b/tsan" $list
}
arch() { B=$b sh tools/arch.sh; }
fuzz() {
    have clang-14 || return
    build B="$b" fuzz SECONDS="$fuzz_seconds"
}
# A release has no seam for faults.
nofault() {
    have nm || return
    build B="$b" "$b/libsamsvar.a" || return
    if nm "$b/libsamsvar.a" 2>/dev/null | grep 'sv_fault_'; then
        echo "libsamsvar.a has the symbols above; they belong to test builds"
        return 1
    fi
    echo "no fault seam in libsamsvar.a"
}

stage format format
stage lint lint
stage layers python tools/layers.py
stage budget python tools/budget.py
stage laws python tools/laws.py
stage seams python tools/seams.py
stage docs docs
stage fused fused
stage nofault nofault
stage clang clang
stage asan asan
stage asan-law asan_law
stage tsan tsan
stage fuzz fuzz
stage arch arch
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
