/* SPDX-License-Identifier: Apache-2.0
 * The list of split rules, and PCRE2 for those that no scanner knows.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pretok.h"

#include <pcre2.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_RULES = 16, MAX_PATTERN = 4096, MATCH_LIMIT = 10000000, DEPTH_LIMIT = 10000, STACK_BYTES = 1 << 20 };

typedef struct rule {
    sv_scan scan;
    pcre2_code *code; /* scan = SV_SCAN_NONE */
} rule;

struct sv_pretok {
    rule rule[MAX_RULES];
    size_t n_rule;
    char unicode[32];
};

/* One run: the state PCRE2 needs, made when first needed. */
typedef struct run {
    const sv_pretok *p;
    sv_piece_fn fn;
    void *arg;
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
} run;

sv_pretok *sv_pretok_make(void)
{
    return sv_mem_new(sizeof(sv_pretok));
}

void sv_pretok_drop(sv_pretok *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_rule; i++)
        pcre2_code_free(p->rule[i].code);
    sv_mem_free(p);
}

static sv_err add(sv_pretok *p, rule r)
{
    if (p->n_rule == MAX_RULES) {
        pcre2_code_free(r.code);
        return sv_fail(SV_E_LIMIT, "pre_tokenizer: more than %d split rules", MAX_RULES);
    }
    p->rule[p->n_rule++] = r;
    return SV_OK;
}

sv_err sv_pretok_add_scan(sv_pretok *p, sv_scan kind)
{
    return add(p, (rule){ .scan = kind });
}

sv_err sv_pretok_add_regex(sv_pretok *p, sv_str regex, const char *name)
{
    sv_scan known = sv_scan_of_regex(regex);
    return known != SV_SCAN_NONE ? sv_pretok_add_scan(p, known) : sv_pretok_add_pcre(p, regex, name);
}

sv_err sv_pretok_add_pcre(sv_pretok *p, sv_str regex, const char *name)
{
    if (regex.n == 0 || regex.n > MAX_PATTERN)
        return sv_fail(SV_E_LIMIT, "%s: a split pattern of %zu bytes; 1 to %d are allowed", name, regex.n, MAX_PATTERN);
    int code;
    PCRE2_SIZE at;
    pcre2_code *c =
        pcre2_compile((PCRE2_SPTR)regex.p, regex.n, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
    if (!c) {
        PCRE2_UCHAR why[256];
        pcre2_get_error_message(code, why, sizeof why);
        return sv_fail(SV_E_FORMAT, "%s: split pattern %s, at offset %zu: %s", name, sv_str_quote(regex), (size_t)at,
                       (const char *)why);
    }
    /* Where the machine has no JIT, pcre2_match interprets: slower, the same matches. */
    (void)pcre2_jit_compile(c, PCRE2_JIT_COMPLETE);
    pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, p->unicode);
    return add(p, (rule){ .scan = SV_SCAN_NONE, .code = c });
}

const char *sv_pretok_pcre_unicode(const sv_pretok *p)
{
    return p->unicode[0] ? p->unicode : NULL;
}

static sv_err start_pcre(run *r)
{
    if (r->data)
        return SV_OK;
    r->context = pcre2_match_context_create(NULL);
    r->data = pcre2_match_data_create(1, NULL);
    r->stack = pcre2_jit_stack_create(32 * 1024, STACK_BYTES, NULL);
    if (!r->context || !r->data || !r->stack)
        return sv_fail(SV_E_NOMEM, "pre_tokenizer: no memory for PCRE2");
    pcre2_set_match_limit(r->context, MATCH_LIMIT);
    pcre2_set_depth_limit(r->context, DEPTH_LIMIT);
    pcre2_jit_stack_assign(r->context, NULL, r->stack);
    return SV_OK;
}

static void end_pcre(run *r)
{
    pcre2_match_data_free(r->data);
    pcre2_match_context_free(r->context);
    pcre2_jit_stack_free(r->stack);
}

/* PCRE2 counts U+180E (e1 a0 8e) as white space, the reference does not. U+2060 (e2 81 a0) has the same length and, in
 * both, the class that U+180E has in the reference, so PCRE2 is shown that instead. */
static const char *without_180e(sv_str text, char **copy)
{
    *copy = NULL;
    for (const char *at = text.p; (at = memmem(at, text.n - (size_t)(at - text.p), "\xe1\xa0\x8e", 3)) != NULL;
         at += 3) {
        if (!*copy) {
            *copy = sv_mem_new(text.n);
            memcpy(*copy, text.p, text.n);
        }
        memcpy(*copy + (at - text.p), "\xe2\x81\xa0", 3);
    }
    return *copy ? *copy : text.p;
}

static sv_err split(run *r, size_t depth, sv_str text, size_t at);

static sv_err split_pcre(run *r, size_t depth, sv_str text, size_t at)
{
    const pcre2_code *code = r->p->rule[depth].code;
    SV_TRY(start_pcre(r));
    char *copy;
    const char *subject = without_180e(text, &copy);
    size_t done = 0, from = 0;
    sv_err e = SV_OK;
    while (e == SV_OK && done < text.n) {
        int n = from <= text.n
                    ? pcre2_match(code, (PCRE2_SPTR)subject, text.n, from, PCRE2_NO_UTF_CHECK, r->data, r->context)
                    : PCRE2_ERROR_NOMATCH;
        if (n < 0 && n != PCRE2_ERROR_NOMATCH) {
            PCRE2_UCHAR why[256];
            pcre2_get_error_message(n, why, sizeof why);
            e = sv_fail(SV_E_LIMIT, "pre_tokenizer: splitting stopped at offset %zu: %s", at + from, (const char *)why);
            break;
        }
        size_t begin = text.n, end = text.n;
        if (n >= 0) {
            const PCRE2_SIZE *range = pcre2_get_ovector_pointer(r->data);
            begin = range[0];
            end = range[1] < begin ? begin : range[1];
        }
        if (begin > done)
            e = split(r, depth + 1, (sv_str){ text.p + done, begin - done }, at + done);
        if (e == SV_OK && end > begin)
            e = split(r, depth + 1, (sv_str){ text.p + begin, end - begin }, at + begin);
        done = end > done ? end : done;
        from = end;
        if (end == begin) /* an empty match: look again from the next character on */
            do
                from++;
            while (from < text.n && ((unsigned char)text.p[from] & 0xc0) == 0x80);
    }
    sv_mem_free(copy);
    return e;
}

static sv_err split(run *r, size_t depth, sv_str text, size_t at)
{
    if (depth == r->p->n_rule)
        return r->fn(r->arg, text, at);
    sv_scan kind = r->p->rule[depth].scan;
    if (kind == SV_SCAN_NONE)
        return split_pcre(r, depth, text, at);
    for (size_t i = 0; i < text.n;) {
        size_t end = sv_scan_next(kind, text.p, i, text.n);
        SV_TRY(split(r, depth + 1, (sv_str){ text.p + i, end - i }, at + i));
        i = end;
    }
    return SV_OK;
}

sv_err sv_pretok_run(const sv_pretok *p, sv_str text, sv_piece_fn fn, void *arg)
{
    if (text.n == 0)
        return SV_OK;
    run r = { .p = p, .fn = fn, .arg = arg };
    sv_err e = split(&r, 0, text, 0);
    end_pcre(&r);
    return e;
}
