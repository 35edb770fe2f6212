/* SPDX-License-Identifier: Apache-2.0
 * Exact values: (p / q) sqrt(r), single or in lists, read from normalised LaTeX or plain text. Intermediate products
 * are 128 bits wide; what does not fit 64 bits afterwards is not covered.
 */
#include <string.h>

#include "train/verify.h"

#define MAX_DEPTH 16
#define MAX_ROOT 1000000000ll /* its square factors are searched for */

__extension__ typedef __int128 wide;

/* ---- arithmetic ---- */

static wide positive(wide x)
{
    return x < 0 ? -x : x;
}

static wide gcd(wide a, wide b)
{
    while (b != 0) {
        wide t = a % b;
        a = b;
        b = t;
    }
    return positive(a);
}

/* Square factors of root move in front. */
static bool take_squares(wide *num, int64_t *root)
{
    if (*root > MAX_ROOT)
        return false;
    for (int64_t f = 2; f * f <= *root; f++)
        while (*root % (f * f) == 0) {
            *root /= f * f;
            *num *= f;
            if (positive(*num) > (wide)1 << 100)
                return false;
        }
    return true;
}

static bool make(wide num, wide den, int64_t root, bool is_decimal, sv_scalar *out)
{
    if (den == 0 || !take_squares(&num, &root))
        return false;
    wide g = gcd(num, den);
    if (den < 0)
        g = -g;
    num /= g;
    den /= g;
    if (positive(num) > INT64_MAX || den > INT64_MAX)
        return false;
    *out = (sv_scalar){ (int64_t)num, (int64_t)den, num == 0 ? 1 : root, is_decimal };
    return true;
}

bool sv_scalar_add(const sv_scalar *a, const sv_scalar *b, sv_scalar *out)
{
    if (a->num != 0 && b->num != 0 && a->root != b->root)
        return false;
    return make((wide)a->num * b->den + (wide)b->num * a->den, (wide)a->den * b->den, a->num != 0 ? a->root : b->root,
                a->is_decimal || b->is_decimal, out);
}

bool sv_scalar_mul(const sv_scalar *a, const sv_scalar *b, sv_scalar *out)
{
    if (a->root > MAX_ROOT / b->root)
        return false;
    return make((wide)a->num * b->num, (wide)a->den * b->den, a->root * b->root, a->is_decimal || b->is_decimal, out);
}

/* a / (p/q sqrt(r)) = a q sqrt(r) / (p r) */
bool sv_scalar_div(const sv_scalar *a, const sv_scalar *b, sv_scalar *out)
{
    sv_scalar turned;
    if (b->num == 0 || !make(b->den, (wide)b->num * b->root, b->root, b->is_decimal, &turned))
        return false;
    return sv_scalar_mul(a, &turned, out);
}

/* A whole rational rounded to six places, half away from zero, as millionths. */
static bool millionths(const sv_scalar *a, wide *out)
{
    if (a->root != 1)
        return false;
    wide twice = positive(a->num) * 2000000 / a->den;
    *out = (twice + 1) / 2 * (a->num < 0 ? -1 : 1);
    return true;
}

static bool same(const sv_scalar *a, const sv_scalar *b)
{
    wide x, y;
    if (a->num == b->num && a->den == b->den && a->root == b->root)
        return true;
    return (a->is_decimal || b->is_decimal) && millionths(a, &x) && millionths(b, &y) && x == y;
}

/* ---- reading ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool sv_scalar_decimal(sv_str text, sv_scalar *out)
{
    int64_t num = 0, den = 1;
    uint32_t n = 0;
    bool negative = text.n > 0 && text.p[0] == '-', point = false;
    if (text.n > 0 && (text.p[0] == '-' || text.p[0] == '+'))
        text.p++, text.n--;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '.' && !point)
            point = true;
        else if (c == ',' && !point && i > 0 && i + 3 < text.n)
            continue;
        else if (is_digit(c) && n < 18) {
            num = 10 * num + (c - '0');
            den *= point ? 10 : 1;
            n++;
        } else
            return false;
    }
    return n > 0 && text.p[text.n - 1] != ',' && make(negative ? -num : num, den, 1, point, out);
}

typedef struct reader {
    sv_str s;
    size_t at;
    int depth;
} reader;

static char peek(const reader *r)
{
    return r->at < r->s.n ? r->s.p[r->at] : '\0';
}

static bool eat(reader *r, const char *what)
{
    size_t n = strlen(what);
    if (r->at + n > r->s.n || memcmp(r->s.p + r->at, what, n) != 0)
        return false;
    r->at += n;
    return true;
}

static bool read_signed(reader *r, sv_scalar *out);

/* Digits with a point, and thousands commas where a list cannot be meant. */
static bool read_number(reader *r, sv_scalar *out)
{
    size_t from = r->at;
    while (is_digit(peek(r)) || peek(r) == '.')
        r->at++;
    return r->at > from && sv_scalar_decimal((sv_str){ r->s.p + from, r->at - from }, out);
}

static bool read_braced(reader *r, sv_scalar *out)
{
    return eat(r, "{") && read_signed(r, out) && eat(r, "}");
}

static bool read_root(reader *r, sv_scalar *out)
{
    sv_scalar x;
    if (!read_braced(r, &x) || x.num < 0 || x.root != 1 || x.num > MAX_ROOT / x.den)
        return false;
    /* sqrt(p / q) = sqrt(p q) / q */
    return x.num == 0 ? make(0, 1, 1, false, out) : make(1, x.den, x.num * x.den, x.is_decimal, out);
}

/* Without "(": what is left to calculate is no answer. */
static bool read_factor(reader *r, sv_scalar *out)
{
    sv_scalar a, b;
    if (is_digit(peek(r)) || peek(r) == '.')
        return read_number(r, out);
    if (eat(r, "\\frac"))
        return read_braced(r, &a) && read_braced(r, &b) && sv_scalar_div(&a, &b, out);
    return eat(r, "\\sqrt") && read_root(r, out);
}

/* "3\frac{1}{2}" is three and a half: x, digits from `from` on, takes the fraction behind it. */
static bool read_mixed(reader *r, size_t from, sv_scalar *x)
{
    sv_scalar y;
    for (size_t i = from; i < r->at; i++)
        if (!is_digit(r->s.p[i]))
            return false;
    return read_factor(r, &y) && y.root == 1 && y.num >= 0 && y.num < y.den && sv_scalar_add(x, &y, x);
}

static bool next_is(const reader *r, const char *what)
{
    reader copy = *r;
    return eat(&copy, what);
}

/* A number, a fraction, a root with a number in front of it; divided at most once; per cent. */
static bool read_term(reader *r, sv_scalar *out)
{
    const sv_scalar hundred = { 100, 1, 1, false };
    sv_scalar y;
    size_t from = r->at;
    if (!read_factor(r, out))
        return false;
    if (next_is(r, "\\frac") && !read_mixed(r, from, out))
        return false;
    if (next_is(r, "\\cdot\\sqrt") || next_is(r, "*\\sqrt"))
        r->at += peek(r) == '*' ? 1 : strlen("\\cdot");
    if (next_is(r, "\\sqrt") && (!read_factor(r, &y) || !sv_scalar_mul(out, &y, out)))
        return false;
    if (eat(r, "/") && (!read_factor(r, &y) || !sv_scalar_div(out, &y, out)))
        return false;
    return !eat(r, "%") || sv_scalar_div(out, &hundred, out);
}

static bool read_signed(reader *r, sv_scalar *out)
{
    bool negative = eat(r, "-");
    if (!negative)
        eat(r, "+");
    if (++r->depth > MAX_DEPTH || !read_term(r, out))
        return false;
    r->depth--;
    if (negative)
        out->num = -out->num;
    return true;
}

/* Items between commas up to the end; the closing bracket is not looked at. */
static bool read_items(reader *r, sv_value *out)
{
    do {
        if (out->n == SV_VALUE_MAX || !read_signed(r, &out->item[out->n++]))
            return false;
    } while (eat(r, ","));
    return true;
}

/* Thousands: one number, commas before groups of three, "1,234" and "12,345,678.5". */
static bool is_thousands(sv_str s)
{
    size_t i = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'), lead = 0, groups = 0;
    for (; i < s.n && is_digit(s.p[i]); i++)
        lead++;
    for (; i < s.n && s.p[i] == ','; groups++)
        for (int k = 0; k < 4; k++, i++)
            if (i >= s.n || (k > 0 && !is_digit(s.p[i])))
                return false;
    if (i < s.n && s.p[i] == '.')
        for (i++; i < s.n && is_digit(s.p[i]);)
            i++;
    return i == s.n && lead >= 1 && lead <= 3 && groups > 0;
}

bool sv_value_read(sv_str text, sv_value *out)
{
    reader r = { .s = text };
    *out = (sv_value){ 0 };
    if (is_thousands(text)) {
        out->n = 1;
        return sv_scalar_decimal(text, &out->item[0]);
    }
    if (read_items(&r, out) && r.at == r.s.n) { /* a number, or a list without brackets, which is a set */
        if (out->n > 1)
            out->open = '{', out->close = '}';
        return true;
    }
    *out = (sv_value){ 0 };
    r = (reader){ .s = text };
    if (eat(&r, "\\{") || eat(&r, "{"))
        out->open = '{';
    else if (eat(&r, "(") || eat(&r, "["))
        out->open = text.p[0];
    else
        return false;
    if (!read_items(&r, out))
        return false;
    eat(&r, "\\"); /* \} */
    out->close = peek(&r);
    r.at++;
    return r.at == r.s.n && (out->open == '{' ? out->close == '}' : out->close == ')' || out->close == ']');
}

/* ---- comparing ---- */

bool sv_value_same(const sv_value *a, const sv_value *b)
{
    bool used[SV_VALUE_MAX] = { false };
    if (a->n != b->n || a->open != b->open || a->close != b->close)
        return false;
    for (uint32_t i = 0; i < a->n; i++) {
        if (a->open != '{') {
            if (!same(&a->item[i], &b->item[i]))
                return false;
            continue;
        }
        uint32_t k = 0;
        while (k < b->n && (used[k] || !same(&a->item[i], &b->item[k])))
            k++;
        if (k == b->n)
            return false;
        used[k] = true;
    }
    return true;
}

void sv_value_write(const sv_value *v, sv_bytes *out)
{
    if (v->open)
        sv_bytes_char(out, v->open);
    for (uint32_t i = 0; i < v->n; i++) {
        const sv_scalar *s = &v->item[i];
        sv_bytes_printf(out, i > 0 ? ",%lld" : "%lld", (long long)s->num);
        if (s->den != 1)
            sv_bytes_printf(out, "/%lld", (long long)s->den);
        if (s->root != 1)
            sv_bytes_printf(out, "*sqrt(%lld)", (long long)s->root);
    }
    if (v->close)
        sv_bytes_char(out, v->close);
}

/* ---- normalising ---- */

typedef struct writer {
    char *p;
    size_t n;
    bool full;
} writer;

static void put(writer *w, const char *text, size_t n)
{
    if (w->n + n > SV_VERIFY_MAX_PIECE) {
        w->full = true;
        return;
    }
    if (n > 0)
        memcpy(w->p + w->n, text, n);
    w->n += n;
}

/* The end of a group "{...}" that starts at i, behind its brace; 0: not closed. */
static size_t group_end(sv_str s, size_t i)
{
    size_t depth = 0;
    for (; i < s.n; i++) {
        depth += s.p[i] == '{';
        if (s.p[i] == '}' && --depth == 0)
            return i + 1;
    }
    return 0;
}

/* Words that leave nothing, and words that another stands for. */
static const struct {
    const char *from, *to;
} word[] = {
    { "\\left", "" },
    { "\\right", "" },
    { "\\!", "" },
    { "\\,", "" },
    { "\\;", "" },
    { "\\:", "" },
    { "\\ ", "" },
    { "\\$", "" },
    { "$", "" },
    { "^{\\circ}", "" },
    { "^\\circ", "" },
    { "\\dfrac", "\\frac" },
    { "\\tfrac", "\\frac" },
    { "\\cfrac", "\\frac" },
    { "~", "" },
    { "\xe2\x88\x92", "-" },
    { " ", "" },
    { "\n", "" },
    { "\t", "" },
    { "\r", "" },
};
static const char *const wrapper[] = { "\\text", "\\mbox", "\\textbf", "\\mathrm", "\\mathbf", "\\textit", "\\rm" };

static bool starts(sv_str s, size_t i, const char *what)
{
    size_t n = strlen(what);
    return i + n <= s.n && memcmp(s.p + i, what, n) == 0;
}

/* "\text{ cm}" behind something is a unit and goes; "\text{Evelyn}" alone is the answer and is unwrapped. */
static size_t pass_wrapper(sv_str s, size_t i, writer *w)
{
    for (size_t k = 0; k < sizeof wrapper / sizeof *wrapper; k++) {
        size_t at = i + strlen(wrapper[k]), end;
        if (!starts(s, i, wrapper[k]) || at >= s.n || s.p[at] != '{' || (end = group_end(s, at)) == 0)
            continue;
        bool is_unit = w->n > 0;
        for (size_t j = at + 1; !is_unit && j + 1 < end; j++)
            if (s.p[j] != ' ')
                put(w, s.p + j, 1);
        if (end < s.n && starts(s, end, "^2"))
            end += 2; /* cm^2 */
        return end;
    }
    return i;
}

/* First pass: words away. */
static void drop_words(sv_str s, bool keep_percent, writer *w)
{
    for (size_t i = 0; i < s.n && !w->full;) {
        size_t next = pass_wrapper(s, i, w), k = 0;
        if (next > i) {
            i = next;
            continue;
        }
        if (starts(s, i, "\\%") || s.p[i] == '%') {
            i += s.p[i] == '%' ? 1 : 2;
            if (keep_percent)
                put(w, "%", 1);
            continue;
        }
        while (k < sizeof word / sizeof *word && !starts(s, i, word[k].from))
            k++;
        if (k < sizeof word / sizeof *word) {
            put(w, word[k].to, strlen(word[k].to));
            i += strlen(word[k].from);
        } else {
            put(w, s.p + i++, 1);
        }
    }
}

static void fix_forms(sv_str s, int depth, writer *w);

/* An argument without braces is one digit: gets braces. */
static size_t put_argument(sv_str s, size_t i, int depth, writer *w)
{
    size_t end;
    if (i < s.n && s.p[i] == '{' && (end = group_end(s, i)) > 0) {
        put(w, "{", 1);
        fix_forms((sv_str){ s.p + i + 1, end - i - 2 }, depth + 1, w);
        put(w, "}", 1);
        return end;
    }
    if (i >= s.n || !is_digit(s.p[i]))
        return i;
    put(w, "{", 1);
    put(w, s.p + i, 1);
    put(w, "}", 1);
    return i + 1;
}

/* Second pass: arguments, and a 0 before a bare point. */
static void fix_forms(sv_str s, int depth, writer *w)
{
    for (size_t i = 0; i < s.n && !w->full;) {
        bool frac = starts(s, i, "\\frac"), root = starts(s, i, "\\sqrt");
        if ((frac || root) && depth < MAX_DEPTH) {
            put(w, s.p + i, 5);
            i = put_argument(s, i + 5, depth, w);
            if (frac)
                i = put_argument(s, i, depth, w);
            continue;
        }
        if (s.p[i] == '.' && i + 1 < s.n && is_digit(s.p[i + 1]) && (i == 0 || !is_digit(s.p[i - 1])))
            put(w, "0", 1);
        put(w, s.p + i++, 1);
    }
}

bool sv_verify_normalise(sv_str text, bool keep_percent, char out[SV_VERIFY_MAX_PIECE], size_t *n)
{
    char first[SV_VERIFY_MAX_PIECE];
    writer a = { .p = first }, b = { .p = out };
    *n = 0;
    if (text.n > SV_VERIFY_MAX_PIECE)
        return false;
    drop_words(text, keep_percent, &a);
    sv_str s = { first, a.n };
    while (s.n > 0 && s.p[s.n - 1] == '.')
        s.n--;
    const char *equals = s.n > 0 ? memchr(s.p, '=', s.n) : NULL;
    if (equals != NULL && equals > s.p && equals - s.p <= 2 &&
        memchr(equals + 1, '=', s.n - (size_t)(equals - s.p) - 1) == NULL) {
        s.n -= (size_t)(equals - s.p) + 1;
        s.p = equals + 1;
    }
    fix_forms(s, 0, &b);
    *n = b.n;
    return !a.full && !b.full;
}
