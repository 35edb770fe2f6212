/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: a source becomes tokens, with Jinja's white space control (trim_blocks and lstrip_blocks are on, the
 * last newline is dropped).
 */
#include "text/template_impl.h"

#include <stdio.h>
#include <string.h>

typedef struct lexer {
    sv_arena *arena;
    const char *name;
    const char *s; /* newlines are \n */
    size_t n, at;
    uint32_t line, col; /* of `seen` */
    size_t seen;
    sv_tpl_token *token;
    size_t n_token, cap_token;
    char bracket[SV_TPL_MAX_NEST]; /* what closes each open one */
    uint32_t n_bracket;
} lexer;

sv_err sv_tpl_fail_at(sv_err code, const char *name, uint32_t line, uint32_t col, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return sv_fail(code, "%s:%u:%u: %s", name, line, col, text);
}

/* Moves the place that messages name forward to byte `to`; each byte is looked at once. */
static void place(lexer *l, size_t to)
{
    for (; l->seen < to; l->seen++) {
        if (l->s[l->seen] == '\n') {
            l->line++;
            l->col = 1;
        } else if (((unsigned char)l->s[l->seen] & 0xc0) != 0x80) {
            l->col++;
        }
    }
}

static sv_err fail(lexer *l, sv_err code, const char *what)
{
    place(l, l->at);
    return sv_tpl_fail_at(code, l->name, l->line, l->col, "%s", what);
}

static sv_tpl_token *push(lexer *l, sv_tpl_token_kind kind, size_t from, size_t to)
{
    place(l, from);
    sv_tpl_token t = { .kind = (uint8_t)kind, .line = l->line, .col = l->col, .text = { l->s + from, to - from } };
    SV_PUSH(l->token, l->n_token, l->cap_token, t);
    return &l->token[l->n_token - 1];
}

static bool looks_at(const lexer *l, size_t at, const char *text)
{
    size_t n = strlen(text);
    return l->n - at >= n && memcmp(l->s + at, text, n) == 0;
}

/* End of the white space that starts at `at`. */
static size_t after_space(const lexer *l, size_t at)
{
    size_t used;
    while (at < l->n && sv_tpl_is_space(sv_utf8_next(l->s + at, l->n - at, &used)))
        at += used;
    return at;
}

/* Start of the white space that ends at `to`, not before `from`. */
static size_t before_space(const lexer *l, size_t from, size_t to)
{
    while (to > from) {
        size_t p = to - 1, used;
        while (p > from && ((unsigned char)l->s[p] & 0xc0) == 0x80)
            p--;
        if (!sv_tpl_is_space(sv_utf8_next(l->s + p, to - p, &used)))
            break;
        to = p;
    }
    return to;
}

/* --- literals --- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Reads `digits` hexadecimal digits at s[*i]. */
static sv_err hex_escape(lexer *l, sv_str s, size_t *i, int digits, uint32_t *cp)
{
    *cp = 0;
    for (int k = 0; k < digits; k++, (*i)++) {
        int d = *i < s.n ? hex_digit(s.p[*i]) : -1;
        if (d < 0)
            return fail(l, SV_E_FORMAT, "a string holds a cut \\x, \\u or \\U escape");
        *cp = *cp << 4 | (uint32_t)d;
    }
    if (*cp > 0x10ffff || (*cp >= 0xd800 && *cp <= 0xdfff))
        return fail(l, SV_E_UNSUPPORTED, "a string holds an escape that is no Unicode scalar value");
    return SV_OK;
}

/* The hexadecimal name of a character outside of ASCII, at most 9 bytes. */
static size_t other_character(sv_str s, size_t *i, char *out)
{
    char name[16];
    size_t used;
    uint32_t cp = sv_utf8_next(s.p + *i, s.n - *i, &used);
    int n = snprintf(name, sizeof name, cp < 0x100 ? "x%02x" : cp < 0x10000 ? "u%04x" : "U%08x", cp);
    memcpy(out, name, (size_t)n);
    *i += used;
    return (size_t)n;
}

/* One escape at s[*i], behind the backslash; unknown ones keep it, as in Python. */
static sv_err escape(lexer *l, sv_str s, size_t *i, char *out, size_t *n_out)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    char c = s.p[(*i)++];
    const char *known = memchr(from, c, sizeof from - 1);
    if (known) {
        out[(*n_out)++] = to[known - from];
        return SV_OK;
    }
    if (c == '\n')
        return SV_OK;
    if (c == 'N')
        return fail(l, SV_E_UNSUPPORTED, "\\N escapes are not built; write the character itself");
    uint32_t cp = 0;
    if (c >= '0' && c <= '7') {
        cp = (uint32_t)(c - '0');
        for (int k = 0; k < 2 && *i < s.n && s.p[*i] >= '0' && s.p[*i] <= '7'; k++)
            cp = cp * 8 + (uint32_t)(s.p[(*i)++] - '0');
    } else if (c == 'x' || c == 'u' || c == 'U') {
        SV_TRY(hex_escape(l, s, i, c == 'x' ? 2 : c == 'u' ? 4 : 8, &cp));
    } else {
        out[(*n_out)++] = '\\';
        (*i)--; /* the character itself is copied by the caller */
        if ((unsigned char)c >=
            0x80) /* Jinja writes \xe9 for it before it looks for escapes, so these letters appear */
            *n_out += other_character(s, i, out + *n_out);
        return SV_OK;
    }
    *n_out += sv_utf8_put(cp, out + *n_out);
    return SV_OK;
}

static sv_err string_token(lexer *l)
{
    char quote = l->s[l->at];
    size_t end = l->at + 1;
    while (end < l->n && l->s[end] != quote)
        end += l->s[end] == '\\' && end + 1 < l->n ? 2 : 1;
    if (end >= l->n)
        return fail(l, SV_E_FORMAT, "a string is not closed");
    sv_tpl_token *t = push(l, SV_TPL_T_STRING, l->at + 1, end);
    t->col--; /* the quote */
    sv_str s = t->text;
    if (memchr(s.p, '\\', s.n)) {
        char *p = sv_arena_new(l->arena, 2 * s.n + 1); /* 5 bytes become 10 at worst (other_character) */
        size_t n = 0;
        for (size_t i = 0; i < s.n;) {
            if (s.p[i] != '\\') {
                p[n++] = s.p[i++];
                continue;
            }
            i++;
            SV_TRY(escape(l, s, &i, p, &n));
        }
        t->text = (sv_str){ p, n };
    }
    l->at = end + 1;
    return SV_OK;
}

static bool is_digit(const lexer *l, size_t at)
{
    return at < l->n && l->s[at] >= '0' && l->s[at] <= '9';
}

/* End of digits with single underscores between them; `at` when there is none. */
static size_t after_digits(const lexer *l, size_t at)
{
    while (is_digit(l, at) || (at < l->n && l->s[at] == '_' && is_digit(l, at + 1) && at > 0 && is_digit(l, at - 1)))
        at++;
    return at;
}

static sv_err number_token(lexer *l)
{
    size_t end = after_digits(l, l->at);
    bool is_float = false;
    if (l->at == 0 || l->s[l->at - 1] != '.') { /* `x.0.1` reads items 0 and 1 */
        if (end < l->n && l->s[end] == '.' && is_digit(l, end + 1)) {
            end = after_digits(l, end + 1);
            is_float = true;
        }
        size_t e = end;
        if (e < l->n && (l->s[e] == 'e' || l->s[e] == 'E')) {
            e++;
            if (e < l->n && (l->s[e] == '+' || l->s[e] == '-'))
                e++;
            if (is_digit(l, e)) {
                end = after_digits(l, e);
                is_float = true;
            }
        }
    }
    if (!is_float && l->s[l->at] == '0' && end < l->n && memchr("xXoObB", l->s[end], 6))
        return fail(l, SV_E_UNSUPPORTED, "numbers other than decimal are not built");
    char digits[64 + 1];
    size_t n = 0;
    for (size_t i = l->at; i < end; i++) {
        if (n == sizeof digits - 1)
            return fail(l, SV_E_UNSUPPORTED, "a number has more than 64 digits");
        if (l->s[i] != '_')
            digits[n++] = l->s[i];
    }
    digits[n] = '\0';
    sv_tpl_token *t = push(l, is_float ? SV_TPL_T_FLOAT : SV_TPL_T_INT, l->at, end);
    if (is_float) {
        if (!sv_str_f64((sv_str){ digits, n }, &t->u.f))
            return fail(l, SV_E_UNSUPPORTED, "a number is out of the range of a double");
    } else {
        if (n > 1 && digits[0] == '0' && strspn(digits, "0") < n)
            return fail(l, SV_E_FORMAT, "a number begins with 0");
        if (!sv_str_i64((sv_str){ digits, n }, &t->u.i))
            return fail(l, SV_E_UNSUPPORTED, "a number is out of the range of 64 bits");
    }
    l->at = end;
    return SV_OK;
}

static bool name_byte(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

/* --- inside {{ }} and {% %} --- */

static sv_err operator_token(lexer *l)
{
    static const char two[][3] = { "**", "//", "==", "!=", ">=", "<=" };
    size_t n = 0;
    for (size_t i = 0; i < sizeof two / sizeof two[0]; i++)
        if (looks_at(l, l->at, two[i]))
            n = 2;
    char c = l->s[l->at];
    if (n == 0 && c && strchr("+-/*%~[](){}><=.:|,;", c))
        n = 1;
    if (n == 0) {
        size_t used;
        sv_utf8_next(l->s + l->at, l->n - l->at, &used);
        place(l, l->at);
        bool word = (unsigned char)c >= 0x80;
        return sv_tpl_fail_at(word ? SV_E_UNSUPPORTED : SV_E_FORMAT, l->name, l->line, l->col,
                              "unexpected character '%s'%s", sv_str_quote((sv_str){ l->s + l->at, used }),
                              word ? "; names are ASCII here" : "");
    }
    if (n == 1 && strchr("([{", c)) {
        if (l->n_bracket == SV_TPL_MAX_NEST)
            return fail(l, SV_E_LIMIT, "more than 64 brackets are open");
        l->bracket[l->n_bracket++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (n == 1 && strchr(")]}", c)) {
        if (l->n_bracket == 0 || l->bracket[l->n_bracket - 1] != c)
            return fail(l, SV_E_FORMAT, "a closing bracket does not fit");
        l->n_bracket--;
    }
    push(l, SV_TPL_T_OP, l->at, l->at + n);
    l->at += n;
    return SV_OK;
}

/* True when the tag ends here; then l->at is behind what its sign eats. */
static bool tag_end(lexer *l, bool print)
{
    if (l->n_bracket)
        return false;
    size_t at = l->at;
    char sign = l->s[at];
    if (sign == '-' || (sign == '+' && !print))
        at++;
    else
        sign = 0;
    if (!looks_at(l, at, print ? "}}" : "%}"))
        return false;
    push(l, print ? SV_TPL_T_PRINT_END : SV_TPL_T_TAG_END, l->at, at + 2);
    at += 2;
    if (sign == '-')
        at = after_space(l, at);
    else if (!print && sign == 0 && at < l->n && l->s[at] == '\n')
        at++;
    l->at = at;
    return true;
}

static sv_err tag(lexer *l, bool print)
{
    l->n_bracket = 0;
    for (;;) {
        l->at = after_space(l, l->at);
        if (l->at >= l->n)
            return SV_OK; /* the parser says what is missing */
        if (tag_end(l, print))
            return SV_OK;
        char c = l->s[l->at];
        if (c >= '0' && c <= '9') {
            SV_TRY(number_token(l));
        } else if (name_byte(c, true)) {
            size_t end = l->at + 1;
            while (end < l->n && name_byte(l->s[end], false))
                end++;
            if (end < l->n && (unsigned char)l->s[end] >= 0x80) {
                l->at = end;
                return fail(l, SV_E_UNSUPPORTED, "names with characters other than ASCII are not built");
            }
            push(l, SV_TPL_T_NAME, l->at, end);
            l->at = end;
        } else if (c == '\'' || c == '"') {
            SV_TRY(string_token(l));
        } else {
            SV_TRY(operator_token(l));
        }
    }
}

/* --- outside --- */

static sv_err comment(lexer *l)
{
    size_t from = l->at;
    for (size_t r = from; r + 1 < l->n; r++) {
        if (l->s[r] != '#' || l->s[r + 1] != '}')
            continue;
        char sign = r > from ? l->s[r - 1] : 0;
        l->at = r + 2;
        if (sign == '-')
            l->at = after_space(l, l->at);
        else if (sign != '+' && l->at < l->n && l->s[l->at] == '\n')
            l->at++;
        return SV_OK;
    }
    return fail(l, SV_E_FORMAT, "a comment is not closed");
}

static sv_err open_tag(lexer *l, size_t q)
{
    char what = l->s[q + 1];
    size_t inside = q + 2;
    char sign = inside < l->n ? l->s[inside] : 0;
    if (sign == '-' || sign == '+')
        inside++;
    else
        sign = 0;
    size_t end = q; /* of the text before */
    if (sign == '-') {
        end = before_space(l, l->at, q);
    } else if (sign == 0 && what != '{') {
        size_t line = q;
        while (line > l->at && l->s[line - 1] != '\n')
            line--;
        bool starts = line > l->at || line == 0 || l->s[line - 1] == '\n';
        if (starts && before_space(l, line, q) == line)
            end = line;
    }
    if (end > l->at)
        push(l, SV_TPL_T_TEXT, l->at, end);
    l->at = inside;
    if (what == '#')
        return comment(l);
    push(l, what == '{' ? SV_TPL_T_PRINT_BEGIN : SV_TPL_T_TAG_BEGIN, q, inside);
    if (what == '%') {
        size_t w = after_space(l, inside);
        if (looks_at(l, w, "raw") && (w + 3 == l->n || !name_byte(l->s[w + 3], false))) {
            l->at = w;
            return fail(l, SV_E_UNSUPPORTED, "tag 'raw' is not built");
        }
    }
    return tag(l, what == '{');
}

/* A copy with \r\n and \r as \n and without the last newline. */
static sv_str normalised(sv_arena *a, sv_str source)
{
    char *p = sv_arena_new(a, source.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < source.n; i++) {
        char c = source.p[i];
        if (c == '\r') {
            if (i + 1 < source.n && source.p[i + 1] == '\n')
                i++;
            c = '\n';
        }
        p[n++] = c;
    }
    if (n && p[n - 1] == '\n')
        n--;
    return (sv_str){ p, n };
}

sv_err sv_tpl_lex(sv_arena *a, sv_str source, const char *name, sv_tpl_token **token, size_t *n_token)
{
    *token = NULL;
    size_t bad;
    if (source.n > SV_TPL_MAX_SOURCE)
        return sv_fail(SV_E_LIMIT, "%s: a template of %zu bytes, at most %u are read", name, source.n,
                       SV_TPL_MAX_SOURCE);
    if (!sv_utf8_valid(source.p, source.n, &bad))
        return sv_fail(SV_E_FORMAT, "%s: a template must be UTF-8; byte %zu is not", name, bad);
    sv_str s = normalised(a, source);
    lexer l = { .arena = a, .name = name, .s = s.p, .n = s.n, .line = 1, .col = 1 };
    sv_err err = SV_OK;
    while (err == SV_OK && l.at < l.n) {
        size_t q = l.at;
        while (q + 1 < l.n && !(l.s[q] == '{' && memchr("{%#", l.s[q + 1], 3)))
            q++;
        if (q + 1 >= l.n) {
            push(&l, SV_TPL_T_TEXT, l.at, l.n);
            l.at = l.n;
        } else {
            err = open_tag(&l, q);
        }
    }
    push(&l, SV_TPL_T_END, l.n, l.n);
    *token = l.token;
    *n_token = l.n_token;
    return err;
}
