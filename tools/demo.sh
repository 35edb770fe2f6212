#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What `make demo` runs once everything is built: the first act, under 4 minutes on 2 cores; with DEMO=full both acts, under
# 10. No network: it goes on without the real model.
set -eu
bin=${B:-build}/samsvar
case ${DEMO:-quick} in full) quick= ;; *) quick=--quick ;; esac
if model=$(sh tools/fetch-model.sh); then
    exec "$bin" demo $quick --model "$model" --dir "${DEMO_DIR:-runs/demo}"
fi
exec "$bin" demo $quick --dir "${DEMO_DIR:-runs/demo}"
