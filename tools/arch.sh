#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the core for aarch64 and runs unit, op and law tests under qemu: the bits of x86 and of ARM are one. The goldens
# that the tests compare with were made on x86; law/train_short compares the weights after two SFT steps. Exit 77: something that is needed is not there.
set -eu
b=${B:-build}/aarch64
root=$b/root
for tool in aarch64-linux-gnu-gcc qemu-aarch64 apt-get dpkg-deb; do
    command -v $tool >/dev/null || { echo "arch: $tool is not installed"; exit 77; }
done
sh tools/arm64-root.sh "$root" || exit 77
root=$(cd "$root" && pwd)
export PKG_CONFIG_SYSROOT_DIR="$root" PKG_CONFIG_LIBDIR="$root/usr/lib/aarch64-linux-gnu/pkgconfig"
include="-isystem $root/usr/include -isystem $root/usr/include/aarch64-linux-gnu"
cc="aarch64-linux-gnu-gcc $include -L$root/usr/lib/aarch64-linux-gnu"

tests=""
for src in test/unit/*.c test/op/conform_cpu.c test/law/*.c; do
    case $src in test/unit/text_pretok.c | test/law/engine.c) continue ;; # many minutes under emulation
    test/unit/http_* | test/unit/serve_*) continue ;; esac       # the cross build has no server
    [ -f "$src" ] && tests="$tests $b/${src%.c}"
done
make --no-print-directory -s -j"$(nproc)" B="$b" CC="$cc" OPT=-O2 $tests
# Programs run by qemu, as the runner runs them: a script of the program's name.
export SAMSVAR_QUICK=1
export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
for t in $tests; do
    mkdir -p "$b/run/$(dirname "${t#"$b"/}")"
    wrapped=$b/run/${t#"$b"/}
    printf '#!/bin/sh\nexec qemu-aarch64 -E LD_LIBRARY_PATH=%s/usr/lib/aarch64-linux-gnu %s "$@"\n' "$root" "$t" >"$wrapped"
    chmod +x "$wrapped"
    set -- "$@" "$wrapped"
done
TEST_TIMEOUT=1800 sh tools/run-tests.sh "$b/run" "$@"
# Contraction is on by default in compilers, and on ARM every object could hold one.
if command -v python3 >/dev/null && command -v aarch64-linux-gnu-objdump >/dev/null; then
    CROSS=aarch64-linux-gnu- python3 tools/fused.py $(find "$b/num" "$b/op" "$b/run" "$b/chips" -name '*.o' 2>/dev/null)
fi
