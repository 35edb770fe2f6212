/* SPDX-License-Identifier: Apache-2.0
 * The verifiers: what each takes as gold, where it looks for an answer, when the two are equal.
 */
#include "train/verify.h"

#include <inttypes.h>
#include <string.h>

#include "base/json.h"

/* What was found in an output. */
typedef struct found {
    sv_str text;
    uint32_t n; /* answers that were marked as such */
} found;

typedef enum equality { DIFFERENT, EQUAL, NOT_COVERED, NO_ANSWER } equality;

struct sv_verifier {
    const char *name;
    /* The gold's text made into *out. SV_E_FORMAT without the place; false in *is_supported: not covered. */
    sv_err (*gold)(sv_str text, sv_arena *a, sv_gold *out, bool *is_supported);
    bool (*extract)(sv_str visible, sv_extract how, found *out);
    equality (*compare)(const sv_gold *gold, sv_str text, sv_bytes *answer);
};

static void add(sv_bytes *out, sv_str text)
{
    if (out != NULL)
        sv_bytes_add(out, text.p, text.n);
}

static sv_err no_gold(sv_str text, const char *what)
{
    return sv_fail(SV_E_FORMAT, "the gold answer '%s' is no %s", sv_str_quote(text), what);
}

/* ---- gsm8k ---- */

static bool number_char(char c, bool dollar)
{
    return (c >= '0' && c <= '9') || c == '.' || c == ',' || (dollar && c == '$');
}

/* First match of #### (\-?[0-9\.\,]+). */
static bool gsm8k_strict(sv_str s, found *out)
{
    out->n = 0;
    for (size_t i = 0; i + 5 < s.n; i++) {
        if (memcmp(s.p + i, "#### ", 5) != 0)
            continue;
        size_t from = i + 5, end = from + (s.p[from] == '-');
        size_t digits = end;
        while (end < s.n && number_char(s.p[end], false))
            end++;
        if (end > digits && out->n++ == 0)
            out->text = (sv_str){ s.p + from, end - from };
    }
    return out->n > 0;
}

/* Last match of (-?[$0-9.,]{2,})|(-?[0-9]+), scanned from left to right. */
static bool gsm8k_flexible(sv_str s, found *out)
{
    out->n = 0;
    for (size_t i = 0; i < s.n;) {
        size_t from = i + (s.p[i] == '-'), wide = from, narrow = from;
        while (wide < s.n && number_char(s.p[wide], true))
            wide++;
        while (narrow < s.n && s.p[narrow] >= '0' && s.p[narrow] <= '9')
            narrow++;
        size_t end = wide - from >= 2 ? wide : narrow;
        if (end == from) {
            i++;
            continue;
        }
        out->text = (sv_str){ s.p + i, end - i };
        out->n = 1;
        i = end;
    }
    return out->n > 0;
}

static bool gsm8k_extract(sv_str visible, sv_extract how, found *out)
{
    return how == SV_EXTRACT_FLEXIBLE ? gsm8k_flexible(visible, out) : gsm8k_strict(visible, out);
}

/* Without "," and "$", then without a "." at the end. */
static bool gsm8k_value(sv_str text, sv_scalar *out)
{
    char bare[32];
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == ',' || text.p[i] == '$')
            continue;
        if (n == sizeof bare)
            return false;
        bare[n++] = text.p[i];
    }
    if (n > 0 && bare[n - 1] == '.')
        n--;
    return sv_scalar_decimal((sv_str){ bare, n }, out);
}

static sv_err gsm8k_gold(sv_str text, sv_arena *a, sv_gold *out, bool *is_supported)
{
    sv_str at = text;
    (void)a;
    for (size_t i = 0; i + 4 <= text.n; i++)
        if (memcmp(text.p + i, "####", 4) == 0)
            at = (sv_str){ text.p + i + 4, text.n - i - 4 };
    out->value.n = 1;
    out->has_value = gsm8k_value(sv_verify_trim(at), &out->value.item[0]);
    *is_supported = true;
    return out->has_value ? SV_OK : no_gold(text, "number behind \"#### \"");
}

static equality gsm8k_compare(const sv_gold *gold, sv_str text, sv_bytes *answer)
{
    sv_value v = { .n = 1 };
    if (!gsm8k_value(text, &v.item[0]))
        return NOT_COVERED;
    if (answer != NULL)
        sv_value_write(&v, answer);
    const sv_scalar *x = &v.item[0], *y = &gold->value.item[0];
    return x->num == y->num && x->den == y->den ? EQUAL : DIFFERENT;
}

/* ---- math ---- */

static bool math_extract(sv_str visible, sv_extract how, found *out)
{
    (void)how;
    return sv_verify_boxed(visible, &out->text, &out->n);
}

static sv_err math_gold(sv_str text, sv_arena *a, sv_gold *out, bool *is_supported)
{
    char form[SV_VERIFY_MAX_PIECE];
    size_t n;
    uint32_t n_box;
    sv_str inner = text;
    bool boxed = sv_verify_boxed(text, &inner, &n_box);
    *is_supported = sv_verify_normalise(inner, false, form, &n);
    if (n_box > 0 && !boxed)
        return no_gold(text, "text with balanced braces");
    if (*is_supported && n == 0)
        return no_gold(text, "mathematical answer");
    out->text = (sv_str){ sv_arena_textn(a, form, n), n };
    out->has_value = sv_value_read(out->text, &out->value);
    return SV_OK;
}

static equality math_compare(const sv_gold *gold, sv_str text, sv_bytes *answer)
{
    char form[SV_VERIFY_MAX_PIECE];
    size_t n;
    sv_value v;
    if (!sv_verify_normalise(text, false, form, &n))
        return NOT_COVERED;
    if (n == 0)
        return NO_ANSWER;
    bool has_value = sv_value_read((sv_str){ form, n }, &v);
    if (has_value && answer != NULL)
        sv_value_write(&v, answer);
    else
        add(answer, (sv_str){ form, n });
    if (sv_str_eq(gold->text, (sv_str){ form, n }))
        return EQUAL;
    return has_value && gold->has_value && sv_value_same(&gold->value, &v) ? EQUAL : DIFFERENT;
}

/* ---- number ---- */

/* Marked by a block or a box; flexible: or the last environment, or the last number. */
static bool number_extract(sv_str visible, sv_extract how, found *out)
{
    if (sv_verify_block(visible, &out->text, &out->n)) {
        sv_str inner;
        uint32_t n;
        if (sv_verify_boxed(out->text, &inner, &n))
            out->text = inner;
        return true;
    }
    if (out->n > 0 && how != SV_EXTRACT_FLEXIBLE)
        return false; /* a block that is not closed */
    if (sv_verify_boxed(visible, &out->text, &out->n))
        return true;
    if (how != SV_EXTRACT_FLEXIBLE)
        return false;
    return sv_verify_environment(visible, &out->text) || sv_verify_last_number(visible, &out->text, &out->n);
}

static bool number_value(sv_str text, sv_value *out)
{
    char form[SV_VERIFY_MAX_PIECE];
    size_t n;
    return sv_verify_normalise(text, true, form, &n) && sv_value_read((sv_str){ form, n }, out);
}

static sv_err number_gold(sv_str text, sv_arena *a, sv_gold *out, bool *is_supported)
{
    uint32_t n_box;
    sv_str inner = text;
    (void)a;
    sv_verify_boxed(text, &inner, &n_box);
    inner = sv_verify_trim(inner);
    if (inner.n == 0)
        return no_gold(text, "number");
    out->has_value = *is_supported = number_value(inner, &out->value);
    return SV_OK;
}

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (c & 0x80) != 0;
}

/* Prose with just one number, which stands alone: "42 apples", not "42x". */
static bool only_number(sv_str text, sv_value *out)
{
    sv_str last;
    uint32_t n;
    if (memchr(text.p, '\\', text.n) != NULL || !sv_verify_last_number(text, &last, &n) || n != 1)
        return false;
    const char *end = last.p + last.n;
    if ((last.p > text.p && is_word_char(last.p[-1])) || (end < text.p + text.n && is_word_char(*end)))
        return false;
    return number_value(last, out);
}

static equality number_compare(const sv_gold *gold, sv_str text, sv_bytes *answer)
{
    sv_value v;
    if (sv_verify_trim(text).n == 0)
        return NO_ANSWER;
    if (!number_value(text, &v) && !only_number(text, &v))
        return NOT_COVERED;
    if (answer != NULL)
        sv_value_write(&v, answer);
    return sv_value_same(&gold->value, &v) ? EQUAL : DIFFERENT;
}

/* ---- countdown ---- */

static bool block_extract(sv_str visible, sv_extract how, found *out)
{
    if (sv_verify_block(visible, &out->text, &out->n))
        return true;
    if (how != SV_EXTRACT_FLEXIBLE)
        return false;
    out->text = visible;
    return true;
}

static bool countdown_extract(sv_str visible, sv_extract how, found *out)
{
    (void)how;
    return sv_verify_block(visible, &out->text, &out->n);
}

static bool same_numbers(const sv_gold *gold, const int64_t *number, uint32_t n)
{
    bool used[SV_VALUE_MAX] = { false };
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = 0;
        while (k < gold->n_number && (used[k] || gold->number[k] != number[i]))
            k++;
        if (k == gold->n_number)
            return false;
        used[k] = true;
    }
    return n == gold->n_number;
}

static equality countdown_compare(const sv_gold *gold, sv_str text, sv_bytes *answer)
{
    sv_scalar value;
    int64_t number[SV_VALUE_MAX];
    uint32_t n;
    if (!sv_countdown_read(text, &value, number, &n) || !same_numbers(gold, number, n))
        return NO_ANSWER;
    for (size_t i = 0; answer != NULL && i < text.n; i++)
        if (strchr(" \t\n", text.p[i]) == NULL)
            sv_bytes_char(answer, text.p[i]);
    const sv_scalar *target = &gold->value.item[0];
    return value.num == target->num && value.den == target->den ? EQUAL : DIFFERENT;
}

/* ---- exact, choice ---- */

static sv_err exact_gold(sv_str text, sv_arena *a, sv_gold *out, bool *is_supported)
{
    sv_str t = sv_verify_trim(text);
    if (t.n == 0)
        return no_gold(text, "text");
    out->text = (sv_str){ sv_arena_textn(a, t.p, t.n), t.n };
    *is_supported = true;
    return SV_OK;
}

static equality exact_compare(const sv_gold *gold, sv_str text, sv_bytes *answer)
{
    text = sv_verify_trim(text);
    if (text.n == 0)
        return NO_ANSWER;
    add(answer, text);
    return sv_str_eq(gold->text, text) ? EQUAL : DIFFERENT;
}

/* A, (A), A. or A) */
static char letter(sv_str text)
{
    text = sv_verify_trim(text);
    if (text.n > 1 && text.p[0] == '(')
        text.p++, text.n--;
    if (text.n == 2 && (text.p[1] == ')' || text.p[1] == '.'))
        text.n--;
    return text.n == 1 && text.p[0] >= 'A' && text.p[0] <= 'J' ? text.p[0] : '\0';
}

static sv_err choice_gold(sv_str text, sv_arena *a, sv_gold *out, bool *is_supported)
{
    char c = letter(text);
    if (c == '\0')
        return no_gold(text, "letter A to J");
    out->text = (sv_str){ sv_arena_textn(a, &c, 1), 1 };
    *is_supported = true;
    return SV_OK;
}

/* Flexible: a box, else the last capital A to J that stands alone. */
static bool choice_extract(sv_str visible, sv_extract how, found *out)
{
    if (sv_verify_block(visible, &out->text, &out->n))
        return true;
    if (how != SV_EXTRACT_FLEXIBLE)
        return false;
    if (sv_verify_boxed(visible, &out->text, &out->n))
        return true;
    for (size_t i = visible.n; i-- > 0;) {
        bool alone =
            (i == 0 || !is_word_char(visible.p[i - 1])) && (i + 1 == visible.n || !is_word_char(visible.p[i + 1]));
        if (alone && visible.p[i] >= 'A' && visible.p[i] <= 'J') {
            out->text = (sv_str){ visible.p + i, 1 };
            return true;
        }
    }
    return false;
}

static equality choice_compare(const sv_gold *gold, sv_str text, sv_bytes *answer)
{
    char c = letter(text);
    if (c == '\0')
        return NO_ANSWER;
    add(answer, (sv_str){ &c, 1 });
    return gold->text.p[0] == c ? EQUAL : DIFFERENT;
}

/* ---- the table ---- */

static const sv_verifier verifiers[] = {
    { "gsm8k", gsm8k_gold, gsm8k_extract, gsm8k_compare },
    { "math", math_gold, math_extract, math_compare },
    { "aime", math_gold, math_extract, math_compare },
    { "number", number_gold, number_extract, number_compare },
    { "countdown", NULL, countdown_extract, countdown_compare },
    { "exact", exact_gold, block_extract, exact_compare },
    { "choice", choice_gold, choice_extract, choice_compare },
};

const sv_verifier *sv_verifier_at(uint32_t i)
{
    return i < sizeof verifiers / sizeof *verifiers ? &verifiers[i] : NULL;
}

const sv_verifier *sv_verifier_find(const char *name)
{
    for (size_t i = 0; i < sizeof verifiers / sizeof *verifiers; i++)
        if (strcmp(verifiers[i].name, name) == 0)
            return &verifiers[i];
    return NULL;
}

const char *sv_verifier_name(const sv_verifier *v)
{
    return v->name;
}

const char *sv_verifier_names(void)
{
    return "gsm8k, math, aime, number, countdown, exact, choice";
}

/* ---- gold ---- */

static sv_err countdown_row(const json_t *row, const char *where, sv_gold *out)
{
    const json_t *target = json_object_get(row, "target"), *nums = json_object_get(row, "nums");
    if (nums == NULL)
        nums = json_object_get(row, "numbers");
    size_t n = json_array_size(nums);
    if (!json_is_integer(target) || n == 0 || n > SV_VALUE_MAX)
        return sv_fail(SV_E_FORMAT, "%s: countdown needs \"target\" (an integer) and \"nums\" (1 to %u integers)",
                       where, SV_VALUE_MAX);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(nums, i);
        json_int_t x = json_is_integer(v) ? json_integer_value(v) : -1;
        if (x < 0 || x > 999999999)
            return sv_fail(SV_E_FORMAT, "%s: item %zu of \"nums\" is no integer from 0 to 999,999,999", where, i);
        out->number[out->n_number++] = x;
    }
    json_int_t t = json_integer_value(target);
    if (t > INT64_MAX / 2 || t < -(INT64_MAX / 2))
        return sv_fail(SV_E_FORMAT, "%s: \"target\" is too large", where);
    out->value = (sv_value){ .item = { { t, 1, 1, false } }, .n = 1 };
    out->has_value = true;
    return SV_OK;
}

static const json_t *gold_of(const json_t *row)
{
    static const char *const key[] = { "gold", "answer", "ground_truth", "solution" };
    for (size_t i = 0; i < sizeof key / sizeof *key; i++) {
        const json_t *v = json_object_get(row, key[i]);
        if (v != NULL && !json_is_null(v))
            return v;
    }
    return NULL;
}

sv_err sv_gold_read(const sv_verifier *v, const json_t *row, const char *where, sv_arena *a, sv_gold *out,
                    bool *is_supported)
{
    const json_t *gold = gold_of(row);
    sv_bytes number = { 0 };
    sv_str text = { 0 };
    *out = (sv_gold){ 0 };
    *is_supported = true;
    if (v->gold == NULL)
        return countdown_row(row, where, out);
    if (json_is_string(gold))
        text = (sv_str){ json_string_value(gold), json_string_length(gold) };
    else if (json_is_integer(gold))
        sv_bytes_printf(&number, "%" JSON_INTEGER_FORMAT, json_integer_value(gold));
    else if (json_is_real(gold))
        sv_json_number(&number, json_real_value(gold));
    else
        return sv_fail(SV_E_FORMAT,
                       "%s: no gold answer; write \"gold\" (or answer, ground_truth, solution) as a string or a number",
                       where);
    if (number.p != NULL)
        text = (sv_str){ number.p, number.n };
    sv_err err = v->gold(text, a, out, is_supported);
    sv_bytes_done(&number);
    return err == SV_OK ? SV_OK : sv_fail_in(err, "%s: ", where);
}

/* ---- judging ---- */

sv_verdict sv_verify(const sv_verifier *v, const sv_gold *gold, sv_str output, bool ended, bool in_thought,
                     sv_extract how, sv_bytes *answer)
{
    found f = { 0 };
    sv_str visible;
    size_t before = answer != NULL ? answer->n : 0;
    if (!ended)
        return SV_VERDICT_TRUNCATED;
    if (output.n > SV_VERIFY_MAX_TEXT || (output.n > 0 && memchr(output.p, '\0', output.n) != NULL))
        return SV_VERDICT_MALFORMED;
    if (!sv_verify_visible(output, in_thought, &visible))
        return SV_VERDICT_TRUNCATED; /* it never came to an answer */
    if (!v->extract(visible, how, &f) || (how == SV_EXTRACT_TRAIN && f.n != 1))
        return SV_VERDICT_MALFORMED;
    switch (v->compare(gold, f.text, answer)) {
    case EQUAL:
        return SV_VERDICT_CORRECT;
    case DIFFERENT:
        return SV_VERDICT_WELL_FORMED;
    case NOT_COVERED:
        if (answer != NULL)
            answer->n = before;
        return SV_VERDICT_UNSUPPORTED;
    default:
        return SV_VERDICT_MALFORMED;
    }
}
