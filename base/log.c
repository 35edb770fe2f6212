/* SPDX-License-Identifier: Apache-2.0
 * Logging to stderr: one line, one write, so that lines of several threads and processes never mix.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"

static atomic_int log_level = SV_LOG_WARN;
static atomic_bool log_json;

void sv_log_set(sv_log_level max_level, bool json)
{
    atomic_store(&log_level, (int)max_level);
    atomic_store(&log_json, json);
}

/* The text without control characters and broken UTF-8: a name from a file must not steer a terminal or start a line.
 */
static void add_plain(sv_bytes *b, sv_str text)
{
    for (size_t i = 0, used; i < text.n; i += used) {
        uint32_t cp = sv_utf8_next(text.p + i, text.n - i, &used);
        bool is_control = cp == SV_UTF8_BAD || cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
        if (is_control) {
            for (size_t j = 0; j < used; j++)
                sv_bytes_printf(b, "\\x%02x", (unsigned char)text.p[i + j]);
        } else {
            sv_bytes_add(b, text.p + i, used);
        }
    }
}

void sv_log(sv_log_level level, const char *subsystem, const char *fmt, ...)
{
    static const char *const names[] = { "error", "warn", "info", "debug", "trace" };
    if ((int)level > atomic_load(&log_level))
        return;
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    sv_str said = sv_str_of(text);
    /* A cut line must not end inside a character. */
    if ((size_t)n >= sizeof text)
        said.n -= sv_utf8_tail(said.p, said.n);
    sv_bytes line = { 0 };
    if (atomic_load(&log_json)) {
        sv_bytes_printf(&line, "{\"v\":1,\"event\":\"log\",\"time\":%lld,\"level\":\"%s\",\"subsystem\":",
                        (long long)sv_clock_unix(), names[level]);
        sv_json_quote(&line, sv_str_of(subsystem));
        sv_bytes_text(&line, ",\"message\":");
        sv_json_quote(&line, said);
        sv_bytes_text(&line, "}\n");
    } else {
        sv_bytes_printf(&line, "samsvar: %s: %s: ", names[level], subsystem);
        add_plain(&line, said);
        sv_bytes_char(&line, '\n');
    }
    /* Past the fault seam on purpose: a test that makes writes fail means files. */
    ssize_t put = write(STDERR_FILENO, line.p, line.n);
    (void)put;
    sv_bytes_done(&line);
}
