#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that the named parts need: build, check. As root, or by sudo; with neither, one line
# names what is missing and it stops.
set -eu
need=""
for part in "$@"; do
    case $part in
    build) need="$need gcc make pkg-config xz-utils libjansson-dev libyaml-dev libpcre2-dev libutf8proc-dev libssl-dev libedit-dev
                 libmicrohttpd-dev libsqlite3-dev libcurl4-openssl-dev
                 libcmocka-dev ocl-icd-opencl-dev pocl-opencl-icd
                 python3-pip ca-certificates" ;;
    check) need="$need python3 git clang-14 clang-format-14 cppcheck llvm-14 libclang-rt-14-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross
                 qemu-user binutils" ;;
    *) echo "deps: no part '$part'" >&2; exit 2 ;;
    esac
done
missing=""
for p in $need; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then as_root=""
elif command -v sudo >/dev/null 2>&1; then as_root=sudo
else
    echo "samsvar needs these Debian packages:$missing - install them as root (apt-get install$missing), then run this again" >&2
    exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { $as_root apt-get update -q && $as_root apt-get install -y -q --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -5 "$log" >&2
    echo "apt-get could not install:$missing (full text above; is the network there?)" >&2
    rm -f "$log"
    exit 1
fi
rm -f "$log"
