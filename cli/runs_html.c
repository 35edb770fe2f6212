/* SPDX-License-Identifier: Apache-2.0
 * The report of runs: one page of HTML and SVG. Nothing is fetched and nothing runs; every text is escaped.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/runs.h"

#define W 520.0 /* of a chart, in its own units */
#define H 250.0
#define LEFT 56.0
#define RIGHT 14.0
#define TOP 12.0
#define BOTTOM 30.0
#define BUCKETS 260u /* points of a line at most */
#define MOST_SAMPLES 24u

static const char style[] =
    ":root{color-scheme:light dark;--bg:#f7f7f5;--card:#fff;--ink:#1c1c1a;--soft:#6b6a66;--line:#e3e2de;"
    "--c0:#2a6fd6;--c1:#d97706;--c2:#0f9d72;--c3:#b0409a;--c4:#0891a8;--c5:#c2410c;--good:#0f7a4f;--goodbg:#e2f4ea;"
    "--bad:#a33;--badbg:#fbe9e7}"
    "@media(prefers-color-scheme:dark){:root{--bg:#161615;--card:#1f1f1d;--ink:#ecebe6;--soft:#9b9a94;--line:#34332f;"
    "--c0:#6ea8ff;--c1:#f2a33c;--c2:#3ecf9a;--c3:#e184cc;--c4:#4fc5d8;--c5:#fb8a5a;--good:#6fdca6;--goodbg:#173427;"
    "--bad:#f59b93;--badbg:#3b2020}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"
    "\"Segoe UI\",\"DejaVu Sans\",sans-serif}main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}"
    "h1{font-size:24px;margin:0 0 4px;letter-spacing:-.01em}h2{font-size:17px;margin:34px 0 12px}"
    "p{margin:0 0 12px}.soft{color:var(--soft)}.grid{display:grid;gap:16px;"
    "grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr))}"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}"
    ".card h3{font-size:14px;margin:0;font-weight:600}.card .say{font-size:12.5px;color:var(--soft);margin:0 0 6px}"
    "svg{display:block;width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:var(--soft)}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px;"
    "font-variant-numeric:tabular-nums}th{font-weight:500;color:var(--soft);font-size:12.5px}"
    "th,td{text-align:right;padding:6px 7px;border-bottom:1px solid var(--line);white-space:nowrap}"
    "th:first-child,td:first-child{text-align:left;padding-left:2px}tr:last-child td{border-bottom:0}td "
    "code{font-size:12px}"
    ".key{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:8px;vertical-align:0}"
    ".big{font-size:16px;font-weight:600}code,pre{font-family:ui-monospace,\"DejaVu Sans Mono\",monospace;"
    "font-size:13px}pre{margin:6px 0 0;white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.45}"
    ".chip{font-size:12px;border-radius:99px;padding:1px 9px;background:var(--badbg);color:var(--bad)}"
    ".chip.ok{background:var(--goodbg);color:var(--good)}.sample{display:flex;gap:10px;align-items:baseline;"
    "flex-wrap:wrap;font-size:13px}details{margin-top:10px}summary{cursor:pointer;color:var(--soft)}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;font-size:13px;margin:8px 0}"
    "dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}";

/* Control characters, and what HTML reads as markup. */
static void put_text(sv_bytes *out, const char *text)
{
    sv_bytes shown = { 0 };
    sv_show(sv_str_of(text), &shown);
    for (size_t i = 0; i < shown.n; i++) {
        char c = shown.p[i];
        const char *is = c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : NULL;
        if (c == '\'')
            is = "&#39;";
        if (is != NULL)
            sv_bytes_text(out, is);
        else
            sv_bytes_char(out, c);
    }
    sv_bytes_done(&shown);
}

/* ---- a chart ---- */

typedef struct chart {
    const char *figure, *title, *say;
    bool percent, zero, only_used; /* zero: the axis starts there; only_used: left out where all is 0 */
} chart;

typedef struct axis {
    double x0, x1, y0, y1, tick;
} axis;

static void stretch(axis *a, const sv_curve *c)
{
    for (size_t i = 0; i < c->n; i++) {
        const double y[3] = { c->value[i], c->low[i], c->high[i] };
        a->x0 = fmin(a->x0, c->step[i]);
        a->x1 = fmax(a->x1, c->step[i]);
        for (int k = 0; k < 3; k++)
            if (isfinite(y[k])) {
                a->y0 = fmin(a->y0, y[k]);
                a->y1 = fmax(a->y1, y[k]);
            }
    }
}

/* Ends of the axis at multiples of 1, 2 or 5 times a power of ten, about five of them. */
static void round_ends(axis *a, bool zero)
{
    if (zero && a->y0 > 0)
        a->y0 = 0;
    if (a->y1 - a->y0 < 1e-12 * fmax(1, fabs(a->y1))) {
        double by = a->y1 == 0 ? 1 : fabs(a->y1) / 2;
        a->y1 += by;
        a->y0 = zero ? 0 : a->y0 - by;
    }
    double raw = (a->y1 - a->y0) / 4, unit = pow(10, floor(log10(raw))), part = raw / unit;
    a->tick = unit * (part <= 1.0 ? 1 : part <= 2.0 ? 2 : part <= 5.0 ? 5 : 10);
    a->y0 = floor(a->y0 / a->tick + 1e-9) * a->tick;
    a->y1 = ceil(a->y1 / a->tick - 1e-9) * a->tick;
}

static double at_x(const axis *a, double step)
{
    double part = a->x1 > a->x0 ? (step - a->x0) / (a->x1 - a->x0) : 0.5;
    return LEFT + part * (W - LEFT - RIGHT);
}

static double at_y(const axis *a, double v)
{
    return TOP + (a->y1 - v) / (a->y1 - a->y0) * (H - TOP - BOTTOM);
}

static void put_axes(const chart *c, const axis *a, sv_bytes *out)
{
    int n = (int)((a->y1 - a->y0) / a->tick + 0.5);
    for (int i = 0; i <= n && n < 20; i++) {
        double v = a->y0 + i * a->tick, y = at_y(a, v);
        sv_bytes_printf(out, "<line x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"var(--line)\"/>", LEFT,
                        W - RIGHT, y, y);
        sv_bytes_printf(out, "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%.6g%s</text>", LEFT - 8, y + 4,
                        fabs(v) < a->tick * 1e-6 ? 0
                        : c->percent             ? 100 * v
                                                 : v,
                        c->percent ? " %" : "");
    }
    for (int i = 0; i <= 4; i++) {
        double step = round(a->x0 + (a->x1 - a->x0) * i / 4);
        if (a->x1 - a->x0 < 4 && i != 0 && i != 4)
            continue;
        sv_bytes_printf(out, "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"%s\">%s%.0f</text>", at_x(a, step), H - 10,
                        i == 0   ? "start"
                        : i == 4 ? "end"
                                 : "middle",
                        i == 0 ? "step " : "", step);
    }
}

typedef struct point {
    double x, y, low, high; /* low, high: of what shares it, or an interval */
} point;

/* At most BUCKETS points; values that share one give their mean and their range. */
static size_t thin(const axis *a, const sv_curve *c, point *out)
{
    size_t n = 0, want = c->n < BUCKETS ? c->n : BUCKETS;
    for (size_t b = 0; b < want; b++) {
        size_t from = c->n * b / want, to = c->n * (b + 1) / want, k = 0;
        point p = { .low = INFINITY, .high = -INFINITY };
        double sum = 0, x = 0;
        for (size_t i = from; i < to; i++) {
            if (!isfinite(c->value[i]))
                continue;
            sum += c->value[i];
            x += c->step[i];
            p.low = fmin(p.low, isnan(c->low[i]) ? c->value[i] : c->low[i]);
            p.high = fmax(p.high, isnan(c->high[i]) ? c->value[i] : c->high[i]);
            k++;
        }
        if (k == 0)
            continue;
        p.x = at_x(a, x / (double)k);
        p.y = at_y(a, sum / (double)k);
        p.low = at_y(a, p.low);
        p.high = at_y(a, p.high);
        out[n++] = p;
    }
    return n;
}

static void put_dots(const axis *a, const sv_curve *c, bool percent, uint32_t color, sv_bytes *out)
{
    double by = percent ? 100 : 1;
    for (size_t i = 0; i < c->n; i++) {
        if (!isfinite(c->value[i]))
            continue;
        sv_bytes_printf(out,
                        "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"var(--c%u)\" stroke=\"var(--card)\" "
                        "stroke-width=\"1.5\"><title>step %.0f: %.5g",
                        at_x(a, c->step[i]), at_y(a, c->value[i]), color, c->step[i], by * c->value[i]);
        if (!isnan(c->low[i]))
            sv_bytes_printf(out, " [%.4g, %.4g]", by * c->low[i], by * c->high[i]);
        sv_bytes_text(out, percent ? " %</title></circle>" : "</title></circle>");
    }
}

static void put_curve(const axis *a, const sv_curve *c, bool percent, uint32_t color, sv_bytes *out)
{
    point *p = sv_mem_new((BUCKETS + 1) * sizeof *p);
    size_t n = thin(a, c, p);
    bool band = false;
    for (size_t i = 0; i < n; i++)
        band |= p[i].low - p[i].high > 1.0;
    if (band && n > 1) {
        sv_bytes_printf(out, "<path fill=\"var(--c%u)\" fill-opacity=\".16\" d=\"", color);
        for (size_t i = 0; i < n; i++)
            sv_bytes_printf(out, "%c%.1f %.1f", i ? 'L' : 'M', p[i].x, p[i].high);
        for (size_t i = n; i-- > 0;)
            sv_bytes_printf(out, "L%.1f %.1f", p[i].x, p[i].low);
        sv_bytes_text(out, "Z\"/>");
    }
    sv_bytes_printf(out,
                    "<path fill=\"none\" stroke=\"var(--c%u)\" stroke-width=\"2\" stroke-linejoin=\"round\" "
                    "stroke-linecap=\"round\" d=\"",
                    color);
    for (size_t i = 0; i < n; i++)
        sv_bytes_printf(out, "%c%.1f %.1f", i ? 'L' : 'M', p[i].x, p[i].y);
    sv_bytes_text(out, "\"/>");
    if (n == 1 && band) /* an interval alone: a bar */
        sv_bytes_printf(out, "<path stroke=\"var(--c%u)\" stroke-width=\"2\" d=\"M%.1f %.1fV%.1f\"/>", color, p[0].x,
                        p[0].high, p[0].low);
    if (c->n <= 40)
        put_dots(a, c, percent, color, out);
    sv_mem_free(p);
}

/* figure: of each run by name; "accuracy": each run's own. */
static const sv_curve *curve_for(const sv_run_view *r, const char *figure)
{
    const sv_curve *c = strcmp(figure, "accuracy") == 0 ? sv_run_accuracy(r) : sv_run_curve(r, figure);
    return c != NULL && c->n > 0 ? c : NULL;
}

static void put_chart(const sv_run_view *run, size_t n, const chart *c, sv_bytes *out)
{
    axis a = { .x0 = INFINITY, .x1 = -INFINITY, .y0 = INFINITY, .y1 = -INFINITY };
    for (size_t i = 0; i < n; i++)
        if (curve_for(&run[i], c->figure) != NULL)
            stretch(&a, curve_for(&run[i], c->figure));
    if (!isfinite(a.y0) || (c->only_used && a.y0 == 0 && a.y1 == 0))
        return;
    round_ends(&a, c->zero);
    sv_bytes_text(out, "<figure class=\"card\" style=\"margin:0\"><h3>");
    put_text(out, c->title);
    sv_bytes_text(out, "</h3><p class=\"say\">");
    put_text(out, c->say);
    sv_bytes_printf(out, "</p><svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", W, H);
    put_text(out, c->title);
    sv_bytes_text(out, "\">");
    put_axes(c, &a, out);
    for (size_t i = 0; i < n; i++)
        if (curve_for(&run[i], c->figure) != NULL)
            put_curve(&a, curve_for(&run[i], c->figure), c->percent, (uint32_t)(i % 6), out);
    sv_bytes_text(out, "</svg></figure>\n");
}

static const chart charts[] = {
    { "accuracy", "Accuracy on held-out problems", "mean over samples, 95 % interval (bootstrap over problems)", true,
      true, false },
    { "reward", "Reward", "mean over the answers of a step", false, false, false },
    { "loss", "Loss", "mean of -log-prob of the tokens trained on, nats", false, true, false },
    { "eval/held_out_loss", "Held-out loss", "nats a token", false, false, false },
    { "completions/mean_length", "Length of answers", "mean, tokens", false, true, false },
    { "entropy", "Entropy", "mean of -log-prob of the sampled tokens, nats", false, true, false },
    { "completions/clipped_ratio", "Answers cut off", "share without an end token", true, true, false },
    { "frac_reward_zero_std", "Groups that teach nothing", "share of groups whose answers score alike", true, true,
      false },
    { "sampling/sampling_logp_difference/max", "Trainer against sampler",
      "largest difference of a log-prob; 0 = the same bits", false, true, false },
    { "kl", "KL", "to the reference or the teacher, nats a token", false, true, true },
    { "grad_norm", "Gradient norm", "before the clip", false, true, false },
    { "learning_rate", "Learning rate", "", false, true, false },
};

/* ---- the parts of the page ---- */

static void put_key(size_t i, sv_bytes *out)
{
    sv_bytes_printf(out, "<span class=\"key\" style=\"background:var(--c%u)\"></span>", (unsigned)(i % 6));
}

static void put_cell(sv_bytes *out, const sv_curve *c, const char *fmt)
{
    char text[64];
    snprintf(text, sizeof text, fmt, c != NULL && c->n > 0 ? sv_curve_end(c) : 0.0);
    sv_bytes_printf(out, "<td>%s</td>", c != NULL && c->n > 0 ? text : "–");
}

static void put_accuracy(sv_bytes *out, const sv_run_view *r)
{
    const sv_curve *c = sv_run_accuracy(r);
    if (c == NULL || c->n == 0) {
        sv_bytes_text(out, "<td>–</td>");
        return;
    }
    size_t e = c->n - 1;
    sv_bytes_printf(out, "<td><span class=\"big\">%.1f %%</span>", 100 * c->value[e]);
    if (!isnan(c->low[e]))
        sv_bytes_printf(out, " <span class=\"soft\">[%.1f, %.1f]</span>", 100 * c->low[e], 100 * c->high[e]);
    sv_bytes_printf(out, " <span class=\"soft\">%s</span></td>", strncmp(c->name, "eval/", 5) == 0 ? c->name + 5 : "");
}

static void put_runs(const sv_run_view *run, size_t n, sv_bytes *out)
{
    sv_bytes_text(out, "<div class=\"card scroll\"><table><tr><th>run<th>method<th>state<th>steps<th>accuracy"
                       "<th>loss<th>reward<th>length<th>entropy<th>tokens<th>time<th>weights</tr>");
    for (size_t i = 0; i < n; i++) {
        const sv_run_view *r = &run[i];
        sv_bytes_text(out, "<tr><td>");
        put_key(i, out);
        put_text(out, r->name);
        sv_bytes_text(out, "</td><td>");
        put_text(out, r->method);
        sv_bytes_printf(out, "</td><td>%s</td><td>%llu", r->state, (unsigned long long)r->step);
        if (r->steps > 0)
            sv_bytes_printf(out, "<span class=\"soft\">/%llu</span>", (unsigned long long)r->steps);
        sv_bytes_text(out, "</td>");
        put_accuracy(out, r);
        put_cell(out, sv_run_curve(r, "loss"), "%.4f");
        put_cell(out, sv_run_curve(r, "reward"), "%.3f");
        put_cell(out, sv_run_curve(r, "completions/mean_length"), "%.1f");
        put_cell(out, sv_run_curve(r, "entropy"), "%.3f");
        sv_bytes_printf(out, "<td>%.2fM</td><td>%s</td><td><code>", (double)r->tokens / 1e6, sv_time_words(r->seconds));
        put_text(out, r->n_hash > 0 ? r->hash[r->n_hash - 1].hash : "–");
        sv_bytes_text(out, "</code></td></tr>");
        if (r->problem != NULL) {
            sv_bytes_text(out, "<tr><td colspan=\"12\" style=\"white-space:normal\" class=\"soft\">");
            put_text(out, r->problem);
            sv_bytes_text(out, "</td></tr>");
        }
    }
    sv_bytes_text(out, "</table></div>\n");
}

static void put_sample(const sv_transcript *t, sv_bytes *out)
{
    bool right = strcmp(t->verdict, "correct") == 0;
    sv_bytes_printf(
        out, "<div class=\"card\"><div class=\"sample\"><span class=\"soft\">step %llu</span><span class=\"chip%s\">",
        (unsigned long long)t->step, right ? " ok" : "");
    put_text(out, t->verdict);
    sv_bytes_printf(out,
                    "</span><span class=\"soft\">reward %.3g · advantage %+.3g · %llu tokens</span></div><pre><span "
                    "class=\"soft\">",
                    t->reward, t->advantage, (unsigned long long)t->tokens);
    put_text(out, t->problem);
    sv_bytes_text(out, "</span>");
    put_text(out, t->output);
    sv_bytes_text(out, "</pre></div>\n");
}

/* The first and the last steps' answers, and some between. */
static void put_samples(const sv_run_view *r, size_t i, sv_bytes *out)
{
    size_t n = r->n_sample, most = n < MOST_SAMPLES ? n : MOST_SAMPLES;
    if (n == 0)
        return;
    sv_bytes_text(out, "<h2>");
    put_key(i, out);
    sv_bytes_text(out, "Answers of ");
    put_text(out, r->name);
    sv_bytes_text(out, "</h2><div class=\"grid\">\n");
    for (size_t k = 0; k < most; k++)
        put_sample(&r->sample[most > 1 ? (n - 1) * k / (most - 1) : 0], out);
    sv_bytes_text(out, "</div>\n");
}

static void put_recipe(const sv_run_view *r, size_t i, sv_bytes *out)
{
    const char *key;
    json_t *v;
    sv_bytes_text(out, "<details class=\"card\"><summary>");
    put_key(i, out);
    sv_bytes_text(out, "Recipe of ");
    put_text(out, r->name);
    sv_bytes_text(out, "</summary><dl>");
    json_object_foreach(r->recipe, key, v)
    {
        if (!json_is_string(v) || json_string_length(v) == 0)
            continue;
        sv_bytes_text(out, "<dt>");
        put_text(out, key);
        sv_bytes_text(out, "</dt><dd>");
        put_text(out, json_string_value(v));
        sv_bytes_text(out, "</dd>");
    }
    sv_bytes_text(out, "</dl></details>\n");
}

void sv_runs_html(const sv_run_view *run, size_t n, sv_bytes *out)
{
    sv_bytes_text(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" "
                       "content=\"width=device-width,initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" "
                       "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>");
    put_text(out, n == 1 ? run[0].name : "Training runs");
    sv_bytes_printf(out, "</title>\n<style>%s</style></head><body><main>\n<h1>", style);
    put_text(out, n == 1 ? run[0].name : "Training runs");
    sv_bytes_text(out,
                  "</h1><p class=\"soft\">From log.jsonl of each run, by samsvar runs. Figures of the table are "
                  "means of the last twentieth of the steps; bands are ranges within a pixel, or intervals.</p>\n");
    put_runs(run, n, out);
    sv_bytes_text(out, "<h2>Curves</h2><div class=\"grid\">\n");
    for (size_t i = 0; i < sizeof charts / sizeof *charts; i++)
        put_chart(run, n, &charts[i], out);
    sv_bytes_text(out, "</div>\n");
    for (size_t i = 0; i < n; i++)
        put_samples(&run[i], i, out);
    sv_bytes_text(out, "<h2>Recipes</h2>\n");
    for (size_t i = 0; i < n; i++)
        put_recipe(&run[i], i, out);
    sv_bytes_text(out, "</main></body></html>\n");
}
