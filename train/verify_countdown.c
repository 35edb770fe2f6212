/* SPDX-License-Identifier: Apache-2.0
 * Expressions of a countdown answer by usual precedence, valued exactly: no eval, no floats.
 */
#include "train/verify.h"

#define MAX_DEPTH 32

typedef struct reader {
    sv_str s;
    size_t at;
    int depth;
    int64_t *number;
    uint32_t n;
} reader;

static char peek(reader *r)
{
    while (r->at < r->s.n && (r->s.p[r->at] == ' ' || r->s.p[r->at] == '\t' || r->s.p[r->at] == '\n'))
        r->at++;
    return r->at < r->s.n ? r->s.p[r->at] : '\0';
}

static bool read_sum(reader *r, sv_scalar *out);

static bool read_integer(reader *r, sv_scalar *out)
{
    int64_t x = 0;
    uint32_t n = 0;
    for (; r->at < r->s.n && r->s.p[r->at] >= '0' && r->s.p[r->at] <= '9'; r->at++, n++) {
        if (n == 18)
            return false;
        x = 10 * x + (r->s.p[r->at] - '0');
    }
    if (n == 0 || r->n == SV_VALUE_MAX)
        return false;
    r->number[r->n++] = x;
    *out = (sv_scalar){ x, 1, 1, false };
    return true;
}

static bool read_factor(reader *r, sv_scalar *out)
{
    if (++r->depth > MAX_DEPTH)
        return false;
    bool ok, negative = peek(r) == '-';
    if (negative || peek(r) == '(') {
        r->at++;
        ok = negative ? read_factor(r, out) : read_sum(r, out) && peek(r) == ')';
        r->at += !negative;
        if (ok && negative)
            out->num = -out->num;
    } else {
        ok = read_integer(r, out);
    }
    r->depth--;
    return ok;
}

static bool read_product(reader *r, sv_scalar *out)
{
    sv_scalar y;
    if (!read_factor(r, out))
        return false;
    while (peek(r) == '*' || peek(r) == '/') {
        bool divides = r->s.p[r->at++] == '/';
        if (!read_factor(r, &y) || !(divides ? sv_scalar_div : sv_scalar_mul)(out, &y, out))
            return false;
    }
    return true;
}

static bool read_sum(reader *r, sv_scalar *out)
{
    sv_scalar y;
    if (!read_product(r, out))
        return false;
    while (peek(r) == '+' || peek(r) == '-') {
        bool minus = r->s.p[r->at++] == '-';
        if (!read_product(r, &y))
            return false;
        if (minus)
            y.num = -y.num;
        if (!sv_scalar_add(out, &y, out))
            return false;
    }
    return true;
}

bool sv_countdown_read(sv_str text, sv_scalar *value, int64_t number[SV_VALUE_MAX], uint32_t *n_number)
{
    reader r = { .s = text, .number = number };
    bool ok = read_sum(&r, value) && peek(&r) == '\0' && r.at == text.n;
    *n_number = r.n;
    return ok;
}
