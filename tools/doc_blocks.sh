#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compiles the C blocks of hand-written pages, so that an example cannot grow stale: doc_blocks.sh [-o DIR] [PAGE.md ...]
# A ```c block counts when the line before it is one of
#     <!-- compile -->        a whole file of C
#     <!-- save: PATH -->     the same, kept as PATH, for the blocks after it to include
#     <!-- append: PATH -->   lines that the example adds to the end of PATH
# Each page has its own copy of what it changes; nothing in the tree is written. -o DIR keeps the copies: DIR/PAGE/PATH.
set -u
keep=
if [ "${1:-}" = -o ]; then keep=$2; shift 2; fi
[ $# -gt 0 ] || set -- README.md CONTRIBUTING.md docs/*.md
cc=${CC:-gcc}
flags="-std=gnu11 -D_GNU_SOURCE -fsyntax-only -ffp-contract=off -fno-fast-math -Wall -Wextra -Wpedantic -Wshadow -Wvla
       -Wstrict-prototypes -Wmissing-prototypes -Wsign-compare -Wconversion -Wno-sign-conversion -Werror"
top=${keep:-$(mktemp -d)}
[ -n "$keep" ] || trap 'rm -rf "$top"' EXIT
n=0 bad=0
for page in "$@"; do
    [ -f "$page" ] || { echo "$page: no such page"; bad=$((bad + 1)); continue; }
    dir=$top/$(basename "$page" .md)
    mkdir -p "$dir"
    rm -f "$dir/list"
    awk -v dir="$dir" '
        /^<!-- (compile|save: .*|append: .*) -->$/ { mark = $0; at = FNR; next }
        mark != "" && /^```c$/ && FNR == at + 1 {
            how = mark ~ /compile/ ? "compile" : mark ~ /save/ ? "save" : "append"
            path = how == "compile" ? "block-" FNR ".c" : mark
            sub(/^<!-- [a-z]+: /, "", path); sub(/ -->$/, "", path)
            print how, path, FNR >> (dir "/list")
            out = dir "/block-" FNR ".text"; printf "" > out; in_block = 1; mark = ""; next
        }
        mark != "" && FNR > at { print "UNUSED " mark " " at >> (dir "/list"); mark = "" }
        in_block && /^```$/ { in_block = 0; close(out); next }
        in_block { print >> out }' "$page"
    [ -f "$dir/list" ] || continue
    while read -r how path line; do
        text=$dir/block-$line.text
        case $path in /* | *..*) echo "$page:$line: path '$path' leads outside"; bad=$((bad + 1)); continue ;; esac
        mkdir -p "$dir/$(dirname "$path")"
        case $how in
        append)
            if [ ! -f "$dir/$path" ]; then
                [ -f "$path" ] || { echo "$page:$line: no file $path to append to"; bad=$((bad + 1)); continue; }
                cp "$path" "$dir/$path"
            fi
            cat "$text" >>"$dir/$path"
            continue ;;
        save | compile) cp "$text" "$dir/$path" ;;
        *) echo "$page: a mark without a C block after it: $how $path $line"; bad=$((bad + 1)); continue ;;
        esac
        case $path in *.c) ;; *) continue ;; esac
        n=$((n + 1))
        if ! $cc $flags -I"$dir/include" -I"$dir" -Iinclude -I. "$dir/$path"; then
            echo "$page:$line: the block above this line does not compile"
            bad=$((bad + 1))
        fi
    done <"$dir/list"
done
echo "doc blocks: $n compiled, $bad bad"
[ $bad -eq 0 ]
