/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: any bytes as headers and as a request of the API. What is refused has a sentence; what is accepted is in
 * range; and the parts of an answer do not depend on where its text is cut. The first byte chooses.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "http/limits.h"
#include "serve/ask.h"
#include "serve/cut.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ask(sv_str body, bool chat)
{
    static const sv_ask_rules rules = { 4096, 1000, { .temperature = 1, .top_p = 1, .repetition = 1 } };
    sv_ask a;
    if (sv_ask_parse(body, chat, &rules, &a) == SV_OK) {
        const sv_sampling *s = &a.sampling;
        SV_ASSERT(a.n >= 1 && a.n <= SV_ASK_MAX_CHOICE && a.n_stop <= SV_ASK_MAX_STOP && a.n_top <= SV_ASK_MAX_TOP);
        SV_ASSERT(a.max_tokens <= 4096 && s->temperature >= 0 && s->temperature <= 2 && s->top_k <= 1000);
        SV_ASSERT(s->top_p > 0 && s->top_p <= 1 && s->min_p >= 0 && s->min_p < 1);
        SV_ASSERT((a.messages != NULL) == chat && (a.prompt != NULL) == !chat);
    } else {
        SV_ASSERT(sv_err_text()[0] != '\0');
    }
    sv_ask_done(&a);
}

static void cut_by(sv_str text, size_t step, bool in_thought, sv_bytes *out)
{
    static const char *const stops[] = { "END", "</", "aab" };
    sv_cut c;
    sv_bytes think = { 0 }, answer = { 0 };
    sv_cut_init(&c, stops, 3, false, true, in_thought);
    for (size_t at = 0; at < text.n; at += step)
        sv_cut_put(&c, (sv_str){ text.p + at, text.n - at < step ? text.n - at : step }, &think, &answer);
    sv_cut_end(&c, &think, &answer);
    sv_bytes_add(out, think.n ? think.p : "", think.n);
    sv_bytes_char(out, '|');
    sv_bytes_add(out, answer.n ? answer.p : "", answer.n);
    sv_cut_done(&c);
    sv_bytes_done(&think);
    sv_bytes_done(&answer);
}

static void check_cut(sv_str text, size_t step, bool in_thought)
{
    sv_bytes whole = { 0 }, parts = { 0 };
    cut_by(text, text.n ? text.n : 1, in_thought, &whole);
    cut_by(text, step, in_thought, &parts);
    SV_ASSERT(whole.n == parts.n && memcmp(whole.p, parts.p, whole.n) == 0);
    sv_bytes_done(&whole);
    sv_bytes_done(&parts);
}

/* Lines "name:value". */
static void check_headers(sv_str text)
{
    sv_http_seen_headers seen = { 0 };
    unsigned status;
    for (size_t at = 0; at < text.n;) {
        char name[64] = "", value[128] = "";
        size_t n = 0, k = 0;
        for (; at < text.n && text.p[at] != ':' && text.p[at] != '\n'; at++)
            if (n < sizeof name - 1)
                name[n++] = text.p[at];
        for (at++; at < text.n && text.p[at] != '\n'; at++)
            if (k < sizeof value - 1)
                value[k++] = text.p[at];
        at++;
        sv_http_seen(&seen, name, value, k);
    }
    const char *why = sv_http_refusal(&seen, true, &status);
    SV_ASSERT(why == NULL || (status >= 400 && status < 500));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    sv_str rest = { (const char *)data + 1, size - 1 };
    switch (data[0] & 3) {
    case 0:
        check_ask(rest, true);
        break;
    case 1:
        check_ask(rest, false);
        break;
    case 2:
        check_cut(rest, 1u + (data[0] >> 5), (data[0] & 4) != 0);
        break;
    default:
        check_headers(rest);
    }
    return 0;
}
