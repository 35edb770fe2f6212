/* SPDX-License-Identifier: Apache-2.0
 * The only file that prints.
 */
#include "cli/out.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

static struct {
    bool quiet, no_color, out_tty, note_tty;
    int failed; /* errno of the first write to stdout that failed */
    double live_at;
    sv_bytes live; /* what should stand on the live line */
    bool live_drawn, live_pending;
} o;

void sv_out_init(bool quiet, bool no_color)
{
    const char *no = getenv("NO_COLOR");
    o.quiet = quiet;
    o.no_color = no_color || (no != NULL && no[0] != '\0');
    o.out_tty = isatty(STDOUT_FILENO) == 1;
    o.note_tty = isatty(STDERR_FILENO) == 1;
}

bool sv_out_tty(void)
{
    return o.out_tty;
}
bool sv_note_tty(void)
{
    return o.note_tty;
}
bool sv_out_color(void)
{
    return o.out_tty && !o.no_color;
}

uint32_t sv_out_cols(void)
{
    struct winsize w;
    const char *env = getenv("COLUMNS");
    uint64_t n = 0;
    if (o.out_tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 20)
        return w.ws_col;
    return env != NULL && sv_str_u64(sv_str_of(env), &n) && n >= 20 && n <= 10000 ? (uint32_t)n : 100;
}

/* ---- stdout ---- */

static void wipe_live(void)
{
    if (o.live_drawn)
        fputs("\r\033[K", stderr);
    o.live_drawn = false;
}

static void keep_failure(bool ok)
{
    if (!ok && o.failed == 0)
        o.failed = errno ? errno : EIO;
}

void sv_out(const char *fmt, ...)
{
    va_list ap;
    wipe_live();
    va_start(ap, fmt);
    keep_failure(vprintf(fmt, ap) >= 0);
    va_end(ap);
}

void sv_out_str(sv_str text)
{
    wipe_live();
    keep_failure(fwrite(text.p, 1, text.n, stdout) == text.n);
}

void sv_out_flush(void)
{
    keep_failure(fflush(stdout) == 0);
}

static int put_json(const char *text, size_t n, void *out)
{
    (void)out;
    keep_failure(fwrite(text, 1, n, stdout) == n);
    return 0;
}

void sv_out_json(json_t *obj)
{
    json_t *line = obj;
    wipe_live();
    if (json_object_get(obj, "event") != NULL && json_object_get(obj, "v") == NULL) {
        line = json_pack("{s:i}", "v", 1);
        json_object_update(line, obj);
        json_decref(obj);
    }
    json_dump_callback(line, put_json, NULL, JSON_COMPACT | JSON_REAL_PRECISION(9) | JSON_ENCODE_ANY);
    json_decref(line);
    putchar('\n');
    sv_out_flush();
}

void sv_out_json_pretty(json_t *obj)
{
    wipe_live();
    json_dump_callback(obj, put_json, NULL, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(obj);
    putchar('\n');
}

bool sv_out_failed(void)
{
    return o.failed != 0;
}

sv_err sv_out_end(void)
{
    sv_out_flush();
    if (o.failed == 0)
        return SV_OK;
    return sv_fail(SV_E_IO, "stdout: cannot write: %s", strerror(o.failed));
}

/* ---- stderr ---- */

static void plain(FILE *to, const char *text)
{
    sv_bytes b = { 0 };
    sv_show(sv_str_of(text), &b);
    fputs(b.p ? b.p : "", to);
    sv_bytes_done(&b);
}

void sv_note(const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    if (o.quiet)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sv_out_flush();
    wipe_live();
    plain(stderr, text);
    fputc('\n', stderr);
}

void sv_warn(const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sv_say_error(text);
}

/* Later lines of a sentence stand below its first word. */
void sv_say_error(const char *text)
{
    sv_out_flush();
    wipe_live();
    fputs("samsvar: ", stderr);
    for (const char *line = text; line != NULL;) {
        const char *end = strchr(line, '\n');
        char buf[4096];
        size_t n = end ? (size_t)(end - line) : strlen(line);
        n = n < sizeof buf - 1 ? n : sizeof buf - 1;
        memcpy(buf, line, n);
        buf[n] = '\0';
        plain(stderr, buf);
        fputc('\n', stderr);
        line = end ? end + 1 : NULL;
        if (line != NULL)
            fputs("         ", stderr);
    }
}

static void draw_live(void)
{
    if (o.note_tty)
        fprintf(stderr, "\r\033[K%s", o.live.p);
    else
        fprintf(stderr, "%s\n", o.live.p);
    fflush(stderr);
    o.live_drawn = o.note_tty;
    o.live_pending = false;
    o.live_at = sv_clock_s();
}

void sv_live(const char *fmt, ...)
{
    char text[512];
    va_list ap;
    if (o.quiet)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sv_bytes_clear(&o.live);
    sv_bytes_text(&o.live, text);
    o.live_pending = true;
    if (o.live_at == 0 || sv_clock_s() - o.live_at >= (o.note_tty ? 0.1 : 10.0))
        draw_live();
}

void sv_live_end(void)
{
    if (o.live_pending || (o.note_tty && o.live.n > 0 && !o.live_drawn))
        draw_live();
    if (o.live_drawn)
        fputc('\n', stderr);
    o.live_drawn = o.live_pending = false;
    o.live_at = 0;
    sv_bytes_done(&o.live);
}

/* ---- forms ---- */

void sv_show(sv_str text, sv_bytes *out)
{
    for (size_t i = 0, used; i < text.n; i += used) {
        uint32_t cp = sv_utf8_next(text.p + i, text.n - i, &used);
        bool is_control = cp == SV_UTF8_BAD || (cp < 0x20 && cp != '\n' && cp != '\t') || (cp >= 0x7f && cp < 0xa0) ||
                          (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
        if (!is_control)
            sv_bytes_add(out, text.p + i, used);
        else if (cp == SV_UTF8_BAD)
            for (size_t j = 0; j < used; j++)
                sv_bytes_printf(out, "\\x%02x", (unsigned char)text.p[i + j]);
        else
            sv_bytes_printf(out, cp < 0x100 ? "\\x%02x" : "\\u%04x", cp);
    }
}

/* Braille: two columns and four rows of dots in a character, bits as Unicode numbers them. */
static void set_dot(uint8_t *cell, uint32_t cols, uint32_t x, uint32_t y)
{
    static const uint8_t bit[4][2] = { { 0x01, 0x08 }, { 0x02, 0x10 }, { 0x04, 0x20 }, { 0x40, 0x80 } };
    cell[(y / 4) * cols + x / 2] |= bit[y % 4][x % 2];
}

/* Mean of the values that fall on dot column x of w. */
static float column(const float *y, size_t n, uint32_t x, uint32_t w)
{
    size_t from = n * x / w, to = n * (x + 1) / w;
    double sum = 0;
    if (to <= from)
        to = from + 1;
    for (size_t i = from; i < to; i++)
        sum += (double)y[i];
    return (float)(sum / (double)(to - from));
}

void sv_plot(const float *y, size_t n, uint32_t cols, uint32_t rows, sv_bytes *out)
{
    uint8_t cell[100 * 40] = { 0 };
    float v[200], low = INFINITY, high = -INFINITY;
    if (n == 0)
        return;
    cols = cols < 100 ? cols : 100;
    rows = rows < 40 ? rows : 40;
    uint32_t w = 2 * cols, h = 4 * rows, before = UINT32_MAX;
    for (uint32_t x = 0; x < w; x++) {
        v[x] = column(y, n, x, w);
        low = v[x] < low ? v[x] : low;
        high = v[x] > high ? v[x] : high;
    }
    for (uint32_t x = 0; x < w; x++) {
        float part = high > low ? (high - v[x]) / (high - low) : 0.5f;
        uint32_t dot = (uint32_t)(part * (float)(h - 1) + 0.5f);
        dot = dot < h ? dot : h - 1;
        uint32_t from = before == UINT32_MAX || before == dot ? dot : before < dot ? before + 1 : dot;
        uint32_t to = before == UINT32_MAX || before <= dot ? dot : before - 1;
        for (uint32_t k = from; k <= to; k++)
            set_dot(cell, cols, x, k);
        before = dot;
    }
    for (uint32_t r = 0; r < rows; r++) {
        if (r == 0 || r + 1 == rows)
            sv_bytes_printf(out, "%8.3f \xe2\x94\xa4", (double)(r ? low : high));
        else
            sv_bytes_text(out, "         \xe2\x94\x82");
        for (uint32_t c = 0; c < cols; c++) {
            char text[4];
            sv_bytes_add(out, text, sv_utf8_put(0x2800u + cell[r * cols + c], text));
        }
        sv_bytes_char(out, '\n');
    }
}

static char *ring(void)
{
    static char text[4][80];
    static unsigned at;
    return text[at++ % 4];
}

const char *sv_bytes_words(double bytes)
{
    static const char *const unit[] = { "B", "kB", "MB", "GB", "TB" };
    char *text = ring();
    int u = 0;
    for (; bytes >= 1000 && u < 4; u++)
        bytes /= 1000;
    snprintf(text, 80, u && bytes < 100 ? "%.1f %s" : "%.0f %s", bytes, unit[u]);
    return text;
}

const char *sv_time_words(double s)
{
    char *text = ring();
    uint64_t t = s > 0 && s < 1e9 ? (uint64_t)(s + 0.5) : 0;
    if (t >= 3600)
        snprintf(text, 80, "%u:%02u:%02u", (unsigned)(t / 3600), (unsigned)(t / 60 % 60), (unsigned)(t % 60));
    else
        snprintf(text, 80, "%u:%02u", (unsigned)(t / 60), (unsigned)(t % 60));
    return text;
}

const char *sv_hex(const void *p, size_t n)
{
    char *text = ring();
    for (size_t i = 0; i < n && i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", ((const unsigned char *)p)[i]);
    return text;
}

const char *sv_hash_words(uint64_t hash)
{
    char *text = ring();
    snprintf(text, 80, "%016llx", (unsigned long long)hash);
    return text;
}
