#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What `make demo` runs once everything is built. No network: it goes on without the real model.
set -eu
bin=${B:-build}/samsvar
if model=$(sh tools/fetch-model.sh); then
    exec "$bin" demo --model "$model" --dir "${DEMO_DIR:-runs/demo}"
fi
exec "$bin" demo --dir "${DEMO_DIR:-runs/demo}"
