/* SPDX-License-Identifier: Apache-2.0
 * Curves of runs in the terminal, in Braille dots.
 */
#include <math.h>
#include <string.h>

#include "cli/runs.h"

#define ROWS 12u
#define MOST_COLS 240u

typedef struct frame {
    uint8_t cell[ROWS * MOST_COLS], owner[ROWS * MOST_COLS]; /* owner: number of the run that drew last, from 1 */
    uint32_t cols;
    double x0, x1, y0, y1;
} frame;

static const char *const color_of[] = { "\033[34m", "\033[33m", "\033[32m", "\033[35m", "\033[36m", "\033[31m" };
#define N_COLOR (sizeof color_of / sizeof *color_of)

static void stretch(frame *f, const sv_curve *c)
{
    for (size_t i = 0; i < c->n; i++) {
        const double y[3] = { c->value[i], c->low[i], c->high[i] };
        f->x0 = fmin(f->x0, c->step[i]);
        f->x1 = fmax(f->x1, c->step[i]);
        for (int k = 0; k < 3; k++)
            if (isfinite(y[k])) {
                f->y0 = fmin(f->y0, y[k]);
                f->y1 = fmax(f->y1, y[k]);
            }
    }
}

static void dot(frame *f, uint32_t x, uint32_t y, uint8_t owner)
{
    static const uint8_t bit[4][2] = { { 0x01, 0x08 }, { 0x02, 0x10 }, { 0x04, 0x20 }, { 0x40, 0x80 } };
    size_t at = (size_t)(y / 4) * f->cols + x / 2;
    f->cell[at] |= bit[y % 4][x % 2];
    f->owner[at] = owner;
}

static uint32_t row_of(const frame *f, double v)
{
    double part = f->y1 > f->y0 ? (f->y1 - v) / (f->y1 - f->y0) : 0.5;
    return (uint32_t)(fmin(fmax(part, 0), 1) * (4 * ROWS - 1) + 0.5);
}

static uint32_t col_of(const frame *f, double step)
{
    double part = f->x1 > f->x0 ? (step - f->x0) / (f->x1 - f->x0) : 0.5;
    return (uint32_t)(part * (2 * f->cols - 1) + 0.5);
}

/* Dots from (x0, y0) to (x1, y1), x1 > x0, without gaps. */
static void line(frame *f, uint32_t x0, uint32_t y0, uint32_t x1, uint32_t y1, uint8_t owner)
{
    double slope = ((double)y1 - (double)y0) / (double)(x1 - x0);
    uint32_t before = y0;
    for (uint32_t x = x0 + 1; x <= x1; x++) {
        uint32_t y = (uint32_t)((double)y0 + slope * (double)(x - x0) + 0.5);
        uint32_t from = before < y ? before + 1 : y, to = before > y ? before - 1 : y;
        for (uint32_t k = from; k <= (to > from ? to : from); k++)
            dot(f, x, k, owner);
        before = y;
    }
}

/* Values that share a dot column are drawn as their mean; columns are joined by lines. */
static void draw(frame *f, const sv_curve *c, uint8_t owner)
{
    uint32_t last_x = 0, last_y = 0;
    bool has = false;
    for (size_t i = 0; i < c->n;) {
        uint32_t x = col_of(f, c->step[i]), n = 0;
        double sum = 0;
        for (; i < c->n && col_of(f, c->step[i]) == x; i++)
            if (isfinite(c->value[i])) {
                sum += c->value[i];
                n++;
            }
        if (n == 0)
            continue;
        uint32_t y = row_of(f, sum / n);
        if (has)
            line(f, last_x, last_y, x, y, owner);
        else
            dot(f, x, y, owner);
        last_x = x;
        last_y = y;
        has = true;
    }
}

static void put_cell(const frame *f, size_t at, bool color, uint8_t *now, sv_bytes *out)
{
    char text[4];
    uint8_t want = f->cell[at] ? f->owner[at] : 0;
    if (color && want != *now) {
        sv_bytes_text(out, want ? color_of[(want - 1) % N_COLOR] : "\033[0m");
        *now = want;
    }
    sv_bytes_add(out, text, sv_utf8_put(0x2800u + f->cell[at], text));
}

static void put_frame(const frame *f, bool color, sv_bytes *out)
{
    for (uint32_t r = 0; r < ROWS; r++) {
        uint8_t now = 0;
        if (r == 0 || r + 1 == ROWS || r == ROWS / 2)
            sv_bytes_printf(out, "%9.4g \xe2\x94\xa4", f->y1 - (f->y1 - f->y0) * r / (ROWS - 1));
        else
            sv_bytes_text(out, "          \xe2\x94\x82");
        for (uint32_t c = 0; c < f->cols; c++)
            put_cell(f, (size_t)r * f->cols + c, color, &now, out);
        sv_bytes_text(out, now ? "\033[0m\n" : "\n");
    }
    char right[32];
    int n = snprintf(right, sizeof right, "%.0f", f->x1);
    sv_bytes_printf(out, "           step %-*.0f%*s\n", (int)f->cols - 5 - n, f->x0, n, right);
}

static void put_name(const sv_run_view *r, const sv_curve *c, uint32_t k, bool color, sv_bytes *out)
{
    sv_bytes name = { 0 };
    sv_show(sv_str_of(r->name), &name);
    sv_bytes_printf(out, "  %s%s%s  %.5g", color ? color_of[k % N_COLOR] : "", name.p ? name.p : "",
                    color ? "\033[0m" : "", c->value[c->n - 1]);
    if (!isnan(c->low[c->n - 1]))
        sv_bytes_printf(out, " [%.4g, %.4g]", c->low[c->n - 1], c->high[c->n - 1]);
    sv_bytes_char(out, '\n');
    sv_bytes_done(&name);
}

void sv_runs_plot(const sv_run_view *run, size_t n, const char *figure, uint32_t cols, bool color, sv_bytes *out)
{
    frame *f = sv_mem_new(sizeof *f), whole = { .x0 = INFINITY, .x1 = -INFINITY, .y0 = INFINITY, .y1 = -INFINITY };
    whole.cols = cols > 40 ? cols - 12 : 28;
    whole.cols = whole.cols < MOST_COLS ? whole.cols : MOST_COLS;
    for (size_t i = 0; i < n; i++)
        if (sv_run_curve(&run[i], figure) != NULL)
            stretch(&whole, sv_run_curve(&run[i], figure));
    sv_bytes_printf(out, "%s\n", figure);
    *f = whole;
    bool any = false;
    for (size_t i = 0; i < n && isfinite(whole.y0); i++) {
        const sv_curve *c = sv_run_curve(&run[i], figure);
        if (c == NULL || c->n == 0)
            continue;
        if (!color)
            *f = whole;
        put_name(&run[i], c, (uint32_t)i, color, out);
        draw(f, c, (uint8_t)(i % 250 + 1));
        if (!color)
            put_frame(f, false, out);
        any = true;
    }
    if (any && color)
        put_frame(f, true, out);
    sv_mem_free(f);
}
