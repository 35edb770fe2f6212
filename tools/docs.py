#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Extracts docs/cli.md, docs/samsvar.1, docs/recipes.md, docs/ops.md and docs/errors.md from the tables that the program is built of.
--check writes nothing and fails when a page is stale."""
import ast
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOTE = "<!-- Extracted by tools/docs.py; edit the table, not this page. -->\n"


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def strip_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def rows(text, macro):
    """Arguments of each MACRO(...) at the start of a line, strings as Python strings."""
    out = []
    for m in re.finditer(r"^\s*%s\(" % macro, text, flags=re.M):
        at, depth, args, cur, quoted = m.end(), 1, [], "", False
        while depth:
            c = text[at]
            if quoted:
                cur += c
                if c == "\\":
                    at += 1
                    cur += text[at]
                elif c == '"':
                    quoted = False
            elif c == '"':
                quoted = True
                cur += c
            elif c == "," and depth == 1:
                args.append(cur.strip())
                cur = ""
            else:
                depth += (c == "(") - (c == ")")
                cur += c if depth else ""
            at += 1
        args.append(cur.strip())
        out.append([ast.literal_eval(a) if a.startswith('"') else a for a in args])
    return out


def flags():
    text = strip_comments(read("cli/flags.def"))
    verbs = [dict(zip(("name", "words", "fewest", "most", "summary"), r)) for r in rows(text, "SV_VERB")]
    keys = ("id", "name", "letter", "type", "dflt", "min", "max", "env", "value", "verbs", "help")
    found = [dict(zip(keys, r)) for r in rows(text, "SV_FLAG")]
    for f in found:
        f["every"] = f["verbs"] == "EVERY"
        f["on"] = re.findall(r"ON\((\w+)\)", f["verbs"])
        f["letter"] = f["letter"].strip("'") if f["letter"] != "0" else ""
        f["env"] = "SAMSVAR_" + f["name"].upper().replace("-", "_") if f["env"] == "1" else ""
    return verbs, found


def escape(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def said(f):
    short = "-%s, " % f["letter"] if f["letter"] else ""
    return short + "--" + f["name"] + (" " + f["value"] if f["value"] else "")


def flag_table(found):
    out = "| flag | default | environment | meaning |\n|---|---|---|---|\n"
    for f in found:
        out += "| `%s` | %s | %s | %s |\n" % (said(f).replace("|", "\\|"), f["dflt"], "`%s`" % f["env"] if f["env"] else "", escape(f["help"]))
    return out


def exit_codes():
    return ("| code | meaning |\n|---|---|\n| 0 | done |\n| 1 | failed while running |\n| 2 | used wrongly (flag, recipe) |\n"
            "| 3 | a file is missing, damaged or not supported |\n| 4 | no such chip, or the chip or driver failed |\n"
            "| 5 | bits differ (`verify`, `chip test`) |\n| 6 | stopped by a guard or a signal, checkpoint saved: the same line goes on |\n"
            "| 130 | interrupted, nothing saved |\n")


def cli_page():
    verbs, found = flags()
    out = "# The command line\n" + NOTE + "\n    samsvar VERB ...\n\n| verb | what it does |\n|---|---|\n"
    for v in verbs:
        out += "| [`%s %s`](#%s) | %s |\n" % (v["name"], v["words"].replace("|", "\\|"), v["name"], escape(v["summary"]))
    out += ("\nA flag beats its environment variable, which beats the default. Flags may stand before or after the verb; `-` is stdin or\n"
            "stdout. Answers and data go to stdout, everything else to stderr.\n\n## Flags of every verb\n\n")
    out += flag_table([f for f in found if f["every"]])
    for v in verbs:
        own = [f for f in found if v["name"] in f["on"]]
        out += "\n## %s\n\n    samsvar %s %s\n\n%s.\n" % (v["name"], v["name"], v["words"], escape(v["summary"]))
        if own:
            out += "\n" + flag_table(own)
    return out + "\n## Exit codes\n\n" + exit_codes()


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in ".'" else text


def man_page():
    verbs, found = flags()
    out = '.\\" Extracted by tools/docs.py.\n.TH SAMSVAR 1\n.SH NAME\nsamsvar \\- trains a reasoning model and serves it with the same bits on every chip\n'
    out += ".SH SYNOPSIS\n.B samsvar\n.I VERB\n[...]\n.SH VERBS\n"
    for v in verbs:
        out += ".TP\n.B %s %s\n%s.\n" % (roff(v["name"]), roff(v["words"]), roff(v["summary"]))
    out += ".SH FLAGS\n"
    for f in found:
        where = "every verb" if f["every"] else ", ".join(f["on"])
        out += ".TP\n.B %s\n%s (%s)%s%s.\n" % (roff(said(f)), roff(f["help"]), roff(where),
                                              ", default " + roff(f["dflt"]) if f["dflt"] else "",
                                              ", or " + f["env"] if f["env"] else "")
    out += ".SH EXIT STATUS\n"
    for code, text in re.findall(r"^\| (\d+) \| (.*) \|$", exit_codes(), flags=re.M):
        out += ".TP\n.B %s\n%s\n" % (code, roff(text.replace("`", "")))
    return out


def op_facts(name):
    """Members of the op's entry in op/op_NAME.c."""
    text = read("op/op_%s.c" % name)
    entry = re.search(r"const sv_opspec sv_opspec_%s = \{(.*?)^\};" % name, text, flags=re.S | re.M).group(1)
    head = re.match(r"/\* SPDX[^\n]*\n(.*?)\*/", text, flags=re.S)
    lines = [re.sub(r"^ \* ?", "", line).rstrip() for line in head.group(1).splitlines()] if head else []
    about = "\n".join(lines).strip("\n")
    return {"attr": (re.findall(r"sizeof\((\w+)\)", entry) or [""])[0], "grad": ".grad" in entry, "inout": ".inout" in entry, "about": about}


def ops_page():
    opset = re.search(r"#define SV_OPSET (\d+)", read("include/samsvar/op.h")).group(1)
    words = {"MOVE": "moves", "ELEM": "elementwise", "SUM": "sum", "DOT": "sum of products", "ARG": "index", "RAND": "random"}
    out = "# Ops of opset %s\n" % opset + NOTE
    out += ("\nLetters: T tokens, W wanted rows, D model, H query heads, G key heads, K head, V vocabulary, S sequences, L leaves.\n"
            "The law of their arithmetic: [arithmetic.md](arithmetic.md).\n\n"
            "| op | in | out | class | formula | attributes | gradient |\n|---|---|---|---|---|---|---|\n")
    facts = []
    for name, n_in, n_out, kind, formula in rows(strip_comments(read("include/samsvar/ops.def")), "SV_OP"):
        f = op_facts(name)
        facts.append((name, f))
        out += "| [`%s`](#%s) | %s | %s | %s | %s | %s | %s |\n" % (name, name, n_in, n_out, words[kind], escape(formula),
                                                                  "`%s`" % f["attr"] if f["attr"] else "", "yes" if f["grad"] else "")
    for name, f in facts:
        out += "\n## %s\n\n```\n%s\n```\n" % (name, f["about"])
        if f["inout"]:
            out += "\nSome outputs are read as well as written.\n"
    return out


def errors_page():
    text = read("include/samsvar/err.h")
    out = "# Errors\n" + NOTE + ("\nFunctions that can fail return `sv_err`: zero is fine, negatives are errors. The sentence of the last failure of a\n"
                                "thread is `sv_err_text()`. The program's exit code comes from the table.\n\n"
                                "| name | value | exit code | meaning |\n|---|---|---|---|\n")
    for name, value, code, meaning in re.findall(r'X\((\w+),\s*(-?\d+),\s*(\d+),\s*"([^"]*)"\)', text):
        out += "| `SV_E_%s` | %s | %s | %s |\n" % (name, value, code, escape(meaning))
    return out


def recipes_page():
    out = "# Keys of a recipe\n" + NOTE + ("\nYAML of nested keys; `--set KEY=VALUE` is stronger. `samsvar train RECIPE --dry-run` prints them as they are taken.\n"
                                          "Result: the value is part of the result, so that a run cannot go on with another one.\n\n"
                                          "| key | default | what it is | result |\n|---|---|---|---|\n")
    for _, key, kind, dflt, _, _, flags_, words in rows(strip_comments(read("train/recipe.def")), "SV_KEY"):
        what = "one of " + ", ".join("`%s`" % w for w in words.split("|")) if kind == "WORD" else escape(words)
        out += "| `%s` | %s | %s | %s |\n" % (key, "`%s`" % dflt if dflt else "", what, "yes" if flags_ == "R" else "")
    return out


PAGES = {"docs/recipes.md": recipes_page, "docs/cli.md": cli_page, "docs/samsvar.1": man_page, "docs/ops.md": ops_page, "docs/errors.md": errors_page}


def main():
    check, stale = "--check" in sys.argv[1:], []
    for path, make in PAGES.items():
        text, full = make(), os.path.join(ROOT, path)
        old = read(path) if os.path.exists(full) else None
        if old == text:
            continue
        if check:
            stale.append(path)
            continue
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)
        print("wrote", path)
    if stale:
        print("stale: %s; run tools/docs.py" % ", ".join(stale), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
