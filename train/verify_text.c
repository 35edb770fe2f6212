/* SPDX-License-Identifier: Apache-2.0
 * Where an answer stands in a text: behind the thought, in a block, a box, a LaTeX environment, or as the last number.
 */
#include <string.h>

#include "train/verify.h"

static bool at(sv_str text, size_t i, const char *what)
{
    size_t n = strlen(what);
    return i + n <= text.n && memcmp(text.p + i, what, n) == 0;
}

static bool find_last(sv_str text, const char *what, size_t *out)
{
    for (size_t i = text.n; i-- > 0;)
        if (at(text, i, what)) {
            *out = i;
            return true;
        }
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

sv_str sv_verify_trim(sv_str text)
{
    while (text.n > 0 && is_space(text.p[0]))
        text.p++, text.n--;
    while (text.n > 0 && is_space(text.p[text.n - 1]))
        text.n--;
    return text;
}

bool sv_verify_visible(sv_str output, bool in_thought, sv_str *out)
{
    size_t end = 0, open = 0;
    bool has_end = find_last(output, "</think>", &end), has_open = find_last(output, "<think>", &open);
    if (has_end) {
        end += strlen("</think>");
        *out = (sv_str){ output.p + end, output.n - end };
        return !has_open || open < end;
    }
    *out = output;
    return !has_open && !in_thought;
}

bool sv_verify_block(sv_str text, sv_str *out, uint32_t *n)
{
    static const char open[] = "<answer>", close[] = "</answer>";
    bool found = false;
    *n = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (!at(text, i, open))
            continue;
        size_t from = i + strlen(open), end = from;
        ++*n;
        while (end < text.n && !at(text, end, close) && !at(text, end, open))
            end++;
        found = at(text, end, close); /* the last one counts, also when it is not closed */
        *out = (sv_str){ text.p + from, end - from };
    }
    return found;
}

bool sv_verify_boxed(sv_str text, sv_str *out, uint32_t *n)
{
    static const char *const open[] = { "\\boxed{", "\\fbox{" };
    bool found = false;
    *n = 0;
    for (size_t i = 0; i < text.n; i++)
        for (int k = 0; k < 2; k++) {
            if (!at(text, i, open[k]))
                continue;
            size_t from = i + strlen(open[k]), end = from, depth = 1;
            ++*n;
            for (; end < text.n; end++) {
                depth += text.p[end] == '{';
                if (text.p[end] == '}' && --depth == 0)
                    break;
            }
            found = end < text.n;
            if (!found)
                return false; /* an open brace takes the rest: nothing behind it is sure */
            *out = (sv_str){ text.p + from, end - from };
            if (memchr(out->p, '\\', out->n) == NULL)
                i = end; /* nothing nested in it */
        }
    return found;
}

bool sv_verify_environment(sv_str text, sv_str *out)
{
    static const char *const mark[][2] = { { "$$", "$$" }, { "$", "$" }, { "\\(", "\\)" }, { "\\[", "\\]" } };
    bool found = false;
    for (size_t i = 0; i < text.n; i++)
        for (int k = 0; k < 4; k++) {
            if (!at(text, i, mark[k][0]) || (i > 0 && text.p[i - 1] == '\\'))
                continue;
            size_t from = i + strlen(mark[k][0]), end = from;
            while (end < text.n && (!at(text, end, mark[k][1]) || (k < 2 && end > 0 && text.p[end - 1] == '\\')))
                end++;
            if (end >= text.n)
                break; /* opened and not closed: a sum of money, say */
            if (end > from) {
                *out = (sv_str){ text.p + from, end - from };
                found = true;
            }
            i = end + strlen(mark[k][1]) - 1;
            break;
        }
    return found;
}

static bool is_digit(sv_str text, size_t i)
{
    return i < text.n && text.p[i] >= '0' && text.p[i] <= '9';
}

/* The end of digits, with commas before groups of three. */
static size_t pass_integer(sv_str text, size_t i)
{
    while (is_digit(text, i) || (i < text.n && text.p[i] == ',' && is_digit(text, i + 1) && is_digit(text, i + 2) &&
                                 is_digit(text, i + 3) && !is_digit(text, i + 4) && i > 0 && is_digit(text, i - 1)))
        i++;
    return i;
}

bool sv_verify_last_number(sv_str text, sv_str *out, uint32_t *n)
{
    *n = 0;
    for (size_t i = 0; i < text.n;) {
        size_t from = i;
        bool point = text.p[i] == '.' && is_digit(text, i + 1);
        if (!is_digit(text, i) && !point) {
            i++;
            continue;
        }
        if (from > 0 && text.p[from - 1] == '-' && !is_digit(text, from - 2 < from ? from - 2 : text.n))
            from--;
        i = pass_integer(text, i);
        if (i < text.n && text.p[i] == '.' && is_digit(text, i + 1))
            for (i++; is_digit(text, i);)
                i++;
        if (i < text.n && text.p[i] == '/' && is_digit(text, i + 1))
            i = pass_integer(text, i + 1);
        if (i < text.n && text.p[i] == '%')
            i++;
        *out = (sv_str){ text.p + from, i - from };
        ++*n;
    }
    return *n > 0;
}
