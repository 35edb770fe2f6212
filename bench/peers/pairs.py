# SPDX-License-Identifier: Apache-2.0
"""What the benches beside peers share: a virtual environment for the peer, runs in turn, medians and ratios.

The machine's speed wanders, so peer and samsvar run alternately, pair by pair; the ratio is the median of the pairs'
ratios, and its spread is their least and greatest.
"""
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "samsvar/peers"
SAMSVAR = os.environ.get("SAMSVAR_BIN") or str(ROOT / "build/samsvar")


def environment(name, packages, env=None):
    """The Python of a virtual environment with these packages; made once, kept in the cache folder."""
    home = CACHE / name
    mark = home / "samsvar-packages"
    if not mark.exists() or mark.read_text() != " ".join(packages):
        print(f"installing {', '.join(packages)} into {home} ...", file=sys.stderr)
        venv.create(home, with_pip=True)
        subprocess.run([home / "bin/pip", "install", "-q", "--disable-pip-version-check", *packages], check=True,
                       env={**os.environ, **(env or {})})
        mark.write_text(" ".join(packages))
    return str(home / "bin/python")


def output(argv, **kw):
    run = subprocess.run([str(a) for a in argv], capture_output=True, text=True, **kw)
    if run.returncode != 0:
        sys.exit(f"{' '.join(map(str, argv))}: exit {run.returncode}\n{run.stderr[-2000:]}")
    return run.stdout


def samsvar(*words):
    """The JSON lines that samsvar printed."""
    return [json.loads(line) for line in output([SAMSVAR, *words, "--json"]).splitlines() if line.startswith("{")]


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    name = next((l.split(":")[1].strip() for l in text.splitlines() if l.startswith("model name")), platform.machine())
    sets = [s for s in ("avx2", "avx512f", "avx512_vnni", "avx_vnni") if f" {s} " in text + " "]
    return f"{name}, {os.cpu_count()} cores, {' '.join(sets) or platform.machine()}, load {os.getloadavg()[0]:.1f}"


def compare(title, peer_name, works, n):
    """works: (name, unit, peer(), ours()) with functions that give one figure, larger is better. Prints a table."""
    print(f"# {title}\n{machine()}; {n} pairs, medians\n", flush=True)
    print(f"| work | unit | {peer_name} | samsvar | ratio | least, greatest ratio |\n|---|---|---|---|---|---|", flush=True)
    rows = []
    for name, unit, peer, ours in works:
        a, b = [], []
        for i in range(n):
            a.append(peer())
            b.append(ours())
        ratios = [y / x for x, y in zip(a, b)]
        row = (name, statistics.median(a), statistics.median(b), statistics.median(ratios), min(ratios), max(ratios))
        rows.append(row)
        print(f"| {name} | {unit} | {row[1]:.4g} | {row[2]:.4g} | {row[3]:.2f} | {row[4]:.2f}, {row[5]:.2f} |", flush=True)
    return rows
