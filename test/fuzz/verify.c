/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: a gold and an output, parted by the first line end, to every verifier; the same as problem and output to
 * every task. Each verdict comes twice the same, what training takes evaluation takes too, and a gold that parses earns
 * its reward when it is the answer.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "train/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_verifier(const sv_verifier *v, sv_str gold_text, sv_str output, uint8_t flags)
{
    sv_arena *a = sv_arena_make();
    sv_bytes once = { 0 }, twice = { 0 };
    sv_gold gold;
    bool is_supported;
    json_t *text = json_stringn(gold_text.p, gold_text.n);
    json_t *row = json_pack("{s:o*, s:i, s:[i,i,i]}", "gold", text, "target", flags, "nums", 1, 2, flags % 10);
    if (row != NULL && sv_gold_read(v, row, "fuzz:1", a, &gold, &is_supported) == SV_OK && is_supported) {
        bool ended = flags & 1, in_thought = flags & 2;
        for (int how = SV_EXTRACT_TRAIN; how <= SV_EXTRACT_FLEXIBLE; how++) {
            sv_bytes_clear(&once);
            sv_bytes_clear(&twice);
            sv_verdict x = sv_verify(v, &gold, output, ended, in_thought, (sv_extract)how, &once);
            SV_ASSERT(x == sv_verify(v, &gold, output, ended, in_thought, (sv_extract)how, &twice));
            SV_ASSERT(once.n == twice.n && (once.n == 0 || memcmp(once.p, twice.p, once.n) == 0));
            SV_ASSERT(x == SV_VERDICT_CORRECT || x == SV_VERDICT_WELL_FORMED || once.n == 0);
            SV_ASSERT(ended || x == SV_VERDICT_TRUNCATED);
            if (how == SV_EXTRACT_TRAIN && x == SV_VERDICT_CORRECT)
                SV_ASSERT(sv_verify(v, &gold, output, ended, in_thought, SV_EXTRACT_STRICT, NULL) == x);
        }
    } else if (row != NULL && sv_gold_read(v, row, "fuzz:1", a, &gold, &is_supported) != SV_OK) {
        SV_ASSERT(strncmp(sv_err_text(), "fuzz:1: ", 8) == 0);
    }
    json_decref(row);
    sv_bytes_done(&once);
    sv_bytes_done(&twice);
    sv_arena_drop(a);
}

static void check_task(const sv_task *t, sv_str problem, sv_str output, bool ended)
{
    sv_bytes b = { 0 }, c = { 0 };
    sv_verdict one = t->verify(problem, output, ended, true), last = t->verify(problem, output, ended, false);
    SV_ASSERT(one != SV_VERDICT_CORRECT || last == SV_VERDICT_CORRECT);
    SV_ASSERT(last != SV_VERDICT_CORRECT || t->answer(problem, output, &b));
    (void)t->blind(problem);
    if (t->solve(problem, &b, &c)) {
        sv_bytes_clear(&b);
        t->solve(problem, &b, NULL);
        SV_ASSERT(t->verify(problem, (sv_str){ b.p, b.n }, true, true) == SV_VERDICT_CORRECT);
    }
    sv_bytes_done(&b);
    sv_bytes_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const sv_verifier *v;
    const sv_task *t;
    if (size < 2)
        return 0;
    const char *text = (const char *)data + 1, *end = memchr(text, '\n', size - 1);
    size_t n = end ? (size_t)(end - text) : size - 1;
    sv_str first = { text, n }, second = { end ? end + 1 : text + n, end ? size - 2 - n : 0 };
    for (uint32_t i = 0; (v = sv_verifier_at(i)) != NULL; i++)
        check_verifier(v, first, second, data[0]);
    for (uint32_t i = 0; (t = sv_task_at(i)) != NULL; i++)
        check_task(t, first, second, data[0] & 1);
    return 0;
}
