/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: any bytes as a chat template, rendered on a conversation whose every text stands in a private-use area:
 * no such character may ever be trusted. Input: a source, then, behind a zero byte, a text that is not trusted either.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "text/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* U+E041, U+E042 and so on are bytes ee 81 81, ee 81 82. */
#define A "\xee\x81\x81"
#define B "\xee\x81\x82 \n" A
static const char conversation[] =
    "[{\"role\":\"system\",\"content\":\"" A "\"},{\"role\":\"user\",\"content\":\"" A "\\n" A "\",\"n\":3},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"type\":\"" A "\",\"function\":{\"name\":\"" A
    "\",\"arguments\":{\"" A "\":[1,2.5,null,true]}}}]},{\"role\":\"tool\",\"content\":\"" A "\"}]";

/* Marks cover the text; neighbours differ; no private-use character is trusted. */
static void check(const sv_marked *m, bool is_plain)
{
    size_t from = 0;
    for (size_t i = 0; i < m->n_run; i++) {
        SV_ASSERT(m->run[i].end > from && m->run[i].end <= m->text.n);
        SV_ASSERT(i == 0 || m->run[i].trusted != m->run[i - 1].trusted);
        SV_ASSERT(!is_plain || !m->run[i].trusted || !memchr(m->text.p + from, 0xee, m->run[i].end - from));
        from = m->run[i].end;
    }
    SV_ASSERT(from == m->text.n);
    SV_ASSERT(sv_utf8_valid(m->text.n ? m->text.p : "", m->text.n, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = memchr(data, 0, size);
    size_t n = zero ? (size_t)(zero - data) : size;
    sv_str source = { (const char *)data, n };
    sv_template *t;
    sv_err err = sv_template_make(source, "fuzz", &t);
    if (err != SV_OK) {
        SV_ASSERT(err == SV_E_FORMAT || err == SV_E_UNSUPPORTED || err == SV_E_LIMIT);
        SV_ASSERT(strncmp(sv_err_text(), "fuzz:", 5) == 0);
        return 0;
    }
    SV_ASSERT(sv_template_source(t).n == n);
    bool is_plain = !memchr(data, 0xee, n) && !memchr(data, '\\', n); /* the template writes none itself */
    json_t *messages = json_loads(conversation, 0, NULL);
    json_t *kwargs = json_pack("{ss,sb}", "u", B, "enable_thinking", 0);
    if (zero)
        json_object_set_new(kwargs, "x", json_stringn((const char *)zero + 1, size - n - 1)); /* fails for bad UTF-8 */
    sv_template_input in = { messages, messages, kwargs, "<s>", NULL, true };
    sv_marked m = { 0 };
    err = sv_template_render(t, &in, &m);
    SV_ASSERT(err == SV_OK || err == SV_E_ARG || err == SV_E_LIMIT || err == SV_E_UNSUPPORTED);
    SV_ASSERT(err == SV_OK || m.text.n == 0);
    check(&m, is_plain);
    sv_marked_done(&m);
    json_decref(messages);
    json_decref(kwargs);
    sv_template_drop(t);
    return 0;
}
