/* SPDX-License-Identifier: Apache-2.0
 * Errors: the sentence of each thread's last failure, and the tables made from the one list of codes.
 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 2048 };

static _Thread_local char kept[TEXT_BYTES];

/* Cuts a full buffer so that it ends in "..." and not inside a UTF-8 character. */
static void mark_cut(char *text)
{
    size_t n = TEXT_BYTES - 4;
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    memcpy(text + n, "...", 4);
}

sv_err sv_fail(sv_err code, const char *fmt, ...)
{
    /* Not straight into `kept`: the arguments may hold sv_err_text() itself. */
    char text[TEXT_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0)
        snprintf(text, sizeof text, "%s", sv_err_meaning(code));
    else if (n >= (int)sizeof text)
        mark_cut(text);
    memcpy(kept, text, strlen(text) + 1);
    return code;
}

sv_err sv_fail_in(sv_err code, const char *fmt, ...)
{
    char text[TEXT_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return code;
    size_t at = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    const char *joint = at == 0 || text[at - 1] == ' ' || text[at - 1] == '\n' ? ""
                        : at && text[at - 1] == ':'                            ? " "
                                                                               : ": ";
    int m = snprintf(text + at, sizeof text - at, "%s%s", joint, kept);
    if (m < 0 || at + (size_t)m >= sizeof text)
        mark_cut(text);
    memcpy(kept, text, strlen(text) + 1);
    return code;
}

const char *sv_err_text(void)
{
    return kept;
}

const char *sv_err_name(sv_err code)
{
    switch (code) {
    case SV_OK:
        return "OK";
#define CASE(name, value, exit_code, text) \
    case SV_E_##name: \
        return #name;
        SV_ERR_LIST(CASE)
#undef CASE
    }
    return "UNKNOWN";
}

const char *sv_err_meaning(sv_err code)
{
    switch (code) {
    case SV_OK:
        return "done";
#define CASE(name, value, exit_code, text) \
    case SV_E_##name: \
        return text;
        SV_ERR_LIST(CASE)
#undef CASE
    }
    return "a code that samsvar does not know";
}

int sv_err_exit_code(sv_err code)
{
    switch (code) {
    case SV_OK:
        return 0;
#define CASE(name, value, exit_code, text) \
    case SV_E_##name: \
        return exit_code;
        SV_ERR_LIST(CASE)
#undef CASE
    }
    return 1;
}

void sv_assert_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "samsvar: broken promise at %s:%d: %s does not hold; please report this\n", file, line, cond);
    abort();
}
