#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs PyPI's openai client, in an environment of its own, against a server started here; with Debian's chromium and
# chromium-driver also the chat page in a browser (screenshots in BUILD/clients/shots). Needs the network once and the
# model of `make demo`. Exit 77: one of them is not there. clients.sh BUILD [MODEL]
set -eu
build=$1
model=${2:-$(sh tools/fetch-model.sh || true)}
[ -n "$model" ] && [ -e "$model" ] || { echo "clients: there is no model"; exit 77; }
venv=$build/clients/venv
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import openai' 2>/dev/null; then
    python3 -m venv "$venv" && "$venv/bin/pip" install -q openai || { echo "clients: openai could not be installed"; exit 77; }
fi
log=$build/clients/serve.log
rm -f "$build"/clients/chats.db*
"$build/samsvar" serve "$model" '<img>=test/golden/models/qwen3' --port 0 --ctx 2048 --max-running 8 --chats "$build/clients/chats.db" --json >"$log" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null || true' EXIT
port=""
for _ in $(seq 300); do
    port=$(sed -n 's/.*"port": *\([0-9]*\).*/\1/p' "$log")
    [ -n "$port" ] && break
    kill -0 $pid 2>/dev/null || { cat "$log" >&2; exit 1; }
    sleep 0.2
done
[ -n "$port" ] || { echo "clients: the server did not start" >&2; exit 1; }
"$venv/bin/python" test/clients/openai_client.py "http://127.0.0.1:$port"
if [ -x /usr/bin/chromium ] && [ -x /usr/bin/chromedriver ] &&
    { "$venv/bin/python" -c 'import selenium' 2>/dev/null || "$venv/bin/pip" install -q selenium; }; then
    "$venv/bin/python" test/clients/page.py "http://127.0.0.1:$port" "$build/clients/shots"
else
    echo "clients: the page was not tried: it needs chromium, chromium-driver and selenium"
fi
