#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches the arm64 libraries that the cross build links to into a folder, with apt's own tools but without changing this
# system: its sources are used, its list of architectures and its packages are not. Needs no root. arm64-root.sh DIR
set -eu
root=$1
packages="libjansson-dev libjansson4 libyaml-dev libyaml-0-2 libpcre2-dev libpcre2-8-0 libutf8proc-dev libutf8proc2
          libssl-dev libssl3 libcmocka-dev libcmocka0"
[ -f "$root/complete" ] && exit 0
rm -rf "$root"
mkdir -p "$root/apt/lists/partial" "$root/apt/cache/archives/partial" "$root/debs"
root=$(cd "$root" && pwd)
: >"$root/apt/status"
set_apt="-o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root
         -o Dir::State=$root/apt -o Dir::State::status=$root/apt/status -o Dir::Cache=$root/apt/cache
         -o Acquire::Languages=none -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false"
log=$root/log
if ! { apt-get $set_apt update && cd "$root/debs" && apt-get $set_apt download $packages; } >"$log" 2>&1; then
    echo "the arm64 libraries could not be fetched: $(grep '^[EW]:' "$log" | tail -1)" >&2
    exit 1
fi
for deb in "$root"/debs/*.deb; do dpkg-deb -x "$deb" "$root"; done
rm -rf "$root/apt" "$root/debs"
touch "$root/complete"
