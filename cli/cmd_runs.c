/* SPDX-License-Identifier: Apache-2.0
 * samsvar runs: lists, compares and plots training runs, and writes a report.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/runs.h"

#define MOST_RUNS 1000u

typedef struct list {
    sv_run_view *run;
    size_t n, cap;
    sv_arena *arena;
    size_t n_bad;
} list;

/* ---- finding ---- */

static void add_run(list *l, const char *dir)
{
    sv_run_view r;
    if (sv_run_read(dir, l->arena, &r) == SV_OK) {
        SV_PUSH(l->run, l->n, l->cap, r);
        return;
    }
    sv_warn("left out: %s", sv_err_text());
    l->n_bad++;
}

/* dir is a run, or a folder of runs. */
static sv_err add_dir(list *l, const char *dir)
{
    char **name;
    size_t n, before = l->n + l->n_bad;
    if (sv_run_is(dir)) {
        add_run(l, dir);
        return SV_OK;
    }
    if (!sv_file_is_dir(dir))
        return sv_fail(SV_E_NOTFOUND, "%s: no such folder; give runs, or a folder of runs", dir);
    SV_TRY(sv_file_list(dir, l->arena, &name, &n));
    for (size_t i = 0; i < n && l->n < MOST_RUNS; i++) {
        const char *path = sv_path_join(l->arena, dir, name[i]);
        if (sv_run_is(path))
            add_run(l, path);
    }
    if (l->n + l->n_bad == before)
        return sv_fail(SV_E_NOTFOUND, "%s: neither a run nor a folder of runs (a run has a log.jsonl)", dir);
    return SV_OK;
}

/* ---- a table ---- */

#define MOST_COLUMNS 32u
typedef struct table {
    char **text; /* [n] cells, row by row */
    size_t n, cap;
    uint32_t n_col;
    sv_arena *arena;
} table;

static void put(table *t, const char *text)
{
    SV_PUSH(t->text, t->n, t->cap, sv_arena_text(t->arena, text));
}

static void putf(table *t, const char *fmt, ...) SV_PRINTF(2, 3);
static void putf(table *t, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    put(t, text);
}

static void put_value(table *t, const char *fmt, double v)
{
    char text[64];
    snprintf(text, sizeof text, fmt, v);
    put(t, isnan(v) ? "-" : text);
}

static uint32_t width_of(const char *text)
{
    uint32_t n = 0;
    for (const char *p = text; *p; p++)
        n += ((unsigned char)*p & 0xc0) != 0x80;
    return n;
}

/* Columns from the left as far as they fit; the first is aligned left. */
static void print_table(const table *t, uint32_t cols)
{
    uint32_t width[MOST_COLUMNS] = { 0 }, fit = 0, used = 0;
    size_t n_row = t->n / t->n_col;
    for (size_t i = 0; i < t->n; i++) {
        uint32_t w = width_of(t->text[i]), *most = &width[i % t->n_col];
        *most = w > *most ? w : *most;
    }
    for (; fit < t->n_col && (fit == 0 || used + width[fit] + 2 <= cols); fit++)
        used += width[fit] + 2;
    for (size_t r = 0; r < n_row; r++) {
        for (uint32_t c = 0; c < fit; c++) {
            const char *text = t->text[r * t->n_col + c];
            int pad = (int)(width[c] - width_of(text));
            if (c == 0)
                sv_out("%s%*s", text, fit > 1 ? pad : 0, "");
            else
                sv_out("  %*s%s", pad, "", text);
        }
        sv_out("\n");
    }
    if (fit < t->n_col)
        sv_note("(%u more columns in a wider terminal, or with --json)", t->n_col - fit);
}

/* ---- listing ---- */

static double end_of(const sv_run_view *r, const char *name)
{
    const sv_curve *c = sv_run_curve(r, name);
    return c != NULL && c->n > 0 ? sv_curve_end(c) : NAN;
}

static const char *count_words(double n)
{
    static char text[4][32];
    static unsigned at;
    char *t = text[at++ % 4];
    snprintf(t, 32, n < 1e4 ? "%.0f" : n < 1e6 ? "%.0fk" : "%.1fM", n < 1e4 ? n : n < 1e6 ? n / 1e3 : n / 1e6);
    return t;
}

static void put_accuracy(table *t, const sv_run_view *r)
{
    const sv_curve *c = sv_run_accuracy(r);
    if (c == NULL || c->n == 0)
        put(t, "-");
    else if (isnan(c->low[c->n - 1]))
        putf(t, "%.1f %%", 100 * c->value[c->n - 1]);
    else
        putf(t, "%.1f %% [%.1f, %.1f]", 100 * c->value[c->n - 1], 100 * c->low[c->n - 1], 100 * c->high[c->n - 1]);
}

static void shown(table *t, const char *text)
{
    sv_bytes b = { 0 };
    sv_show(sv_str_of(text), &b);
    put(t, b.p ? b.p : "");
    sv_bytes_done(&b);
}

static void print_list(const list *l, uint32_t cols)
{
    static const char *const head[] = { "run",    "method", "state",   "steps",  "accuracy", "loss",
                                        "reward", "length", "entropy", "tokens", "time" };
    table t = { .n_col = sizeof head / sizeof *head, .arena = l->arena };
    for (uint32_t i = 0; i < t.n_col; i++)
        put(&t, head[i]);
    for (size_t i = 0; i < l->n; i++) {
        const sv_run_view *r = &l->run[i];
        shown(&t, r->name);
        shown(&t, r->method);
        put(&t, r->state);
        if (r->steps > 0)
            putf(&t, "%llu/%llu", (unsigned long long)r->step, (unsigned long long)r->steps);
        else
            putf(&t, "%llu", (unsigned long long)r->step);
        put_accuracy(&t, r);
        put_value(&t, "%.4f", end_of(r, "loss"));
        put_value(&t, "%.3f", end_of(r, "reward"));
        put_value(&t, "%.1f", end_of(r, "completions/mean_length"));
        put_value(&t, "%.3f", end_of(r, "entropy"));
        put(&t, count_words((double)r->tokens));
        put(&t, sv_time_words(r->seconds));
    }
    print_table(&t, cols);
    sv_mem_free(t.text);
}

static json_t *real(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *figures_of(const sv_run_view *r)
{
    json_t *o = json_object();
    for (size_t i = 0; i < r->n_curve; i++) {
        const sv_curve *c = &r->curve[i];
        if (c->n == 0)
            continue;
        json_t *f = json_pack("{s:o, s:o}", "value", real(c->value[c->n - 1]), "end", real(sv_curve_end(c)));
        if (!isnan(c->low[c->n - 1])) {
            json_object_set_new(f, "low", real(c->low[c->n - 1]));
            json_object_set_new(f, "high", real(c->high[c->n - 1]));
        }
        json_object_set_new(o, c->name, f);
    }
    return o;
}

static void print_json(const list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        const sv_run_view *r = &l->run[i];
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:o}", "event", "run", "dir", r->dir, "method",
                              r->method, "state", r->state, "step", (json_int_t)r->step, "steps", (json_int_t)r->steps,
                              "tokens", (json_int_t)r->tokens, "seconds", real(r->seconds), "figures", figures_of(r));
        if (r->recipe != NULL)
            json_object_set(o, "recipe", r->recipe);
        if (r->n_hash > 0)
            json_object_set_new(o, "weight_hash", json_string(r->hash[r->n_hash - 1].hash));
        sv_out_json(o);
    }
}

/* ---- comparing ---- */

/* Where two runs are the same to the bit, and where not. */
static void compare_hashes(const sv_run_view *a, const sv_run_view *b)
{
    size_t i = 0, j = 0, same = 0;
    while (i < a->n_hash && j < b->n_hash) {
        if (a->hash[i].step != b->hash[j].step) {
            if (a->hash[i].step < b->hash[j].step)
                i++;
            else
                j++;
            continue;
        }
        if (strcmp(a->hash[i].hash, b->hash[j].hash) != 0) {
            sv_out("weights of %s and %s: differ at step %llu (%.16s, %.16s), equal at %zu hashed steps before\n",
                   a->name, b->name, (unsigned long long)a->hash[i].step, a->hash[i].hash, b->hash[j].hash, same);
            return;
        }
        same++;
        i++;
        j++;
    }
    if (same > 0)
        sv_out("weights of %s and %s: equal at all %zu hashed steps that both have\n", a->name, b->name, same);
}

static void compare_figures(const list *l, uint32_t cols)
{
    table t = { .n_col = (uint32_t)l->n + 1, .arena = l->arena };
    put(&t, "at the end");
    for (size_t i = 0; i < l->n; i++)
        shown(&t, l->run[i].name);
    for (size_t k = 0; k < l->n; k++)
        for (size_t c = 0; c < l->run[k].n_curve; c++) {
            const char *name = l->run[k].curve[c].name;
            bool seen = false;
            for (size_t i = 0; i < k; i++)
                seen |= sv_run_curve(&l->run[i], name) != NULL;
            if (seen)
                continue;
            put(&t, name);
            for (size_t i = 0; i < l->n; i++) {
                const sv_curve *of = sv_run_curve(&l->run[i], name);
                if (of == NULL || of->n == 0)
                    put(&t, "-");
                else if (!isnan(of->low[of->n - 1]))
                    putf(&t, "%.4g [%.3g, %.3g]", of->value[of->n - 1], of->low[of->n - 1], of->high[of->n - 1]);
                else
                    put_value(&t, "%.5g", strncmp(name, "eval/", 5) == 0 ? of->value[of->n - 1] : sv_curve_end(of));
            }
        }
    print_table(&t, cols);
    sv_mem_free(t.text);
}

static const char *key_of(const sv_run_view *r, const char *key)
{
    const json_t *v = json_object_get(r->recipe, key);
    return json_is_string(v) ? json_string_value(v) : v ? "(object)" : "-";
}

static void compare_recipes(const list *l, uint32_t cols)
{
    table t = { .n_col = (uint32_t)l->n + 1, .arena = l->arena };
    put(&t, "recipe");
    for (size_t i = 0; i < l->n; i++)
        shown(&t, l->run[i].name);
    json_t *all = json_object(), *v;
    const char *key;
    for (size_t i = 0; i < l->n; i++)
        json_object_update(all, l->run[i].recipe);
    json_object_foreach(all, key, v)
    {
        bool differs = false;
        for (size_t i = 1; i < l->n; i++)
            differs |= !json_equal(json_object_get(l->run[0].recipe, key), json_object_get(l->run[i].recipe, key));
        if (!differs)
            continue;
        shown(&t, key);
        for (size_t i = 0; i < l->n; i++)
            shown(&t, key_of(&l->run[i], key));
    }
    json_decref(all);
    sv_out("\n");
    if (t.n > t.n_col)
        print_table(&t, cols);
    else
        sv_out("recipes: the same in everything that is part of the result\n");
    sv_mem_free(t.text);
}

static sv_err compare(const list *l, uint32_t cols)
{
    if (l->n < 2 || l->n + 1 > MOST_COLUMNS)
        return sv_fail(SV_E_ARG, "--compare needs 2 to %u runs; here %zu", MOST_COLUMNS - 1, l->n);
    compare_figures(l, cols);
    compare_recipes(l, cols);
    sv_out("\n");
    for (size_t i = 1; i < l->n; i++)
        compare_hashes(&l->run[0], &l->run[i]);
    return SV_OK;
}

/* ---- plotting ---- */

static sv_err plot_one(const list *l, const char *figure, uint32_t cols)
{
    const char *names[256];
    size_t n = 0;
    bool has = false;
    for (size_t i = 0; i < l->n; i++)
        for (size_t c = 0; c < l->run[i].n_curve; c++) {
            has |= strcmp(l->run[i].curve[c].name, figure) == 0;
            if (n < 256)
                names[n++] = l->run[i].curve[c].name;
        }
    if (!has)
        return sv_fail_word("no figure", figure, names, n);
    sv_bytes b = { 0 };
    sv_runs_plot(l->run, l->n, figure, cols, sv_out_color(), &b);
    sv_out("\n%s", b.p ? b.p : "");
    sv_bytes_done(&b);
    return SV_OK;
}

/* What one run is looked at for: its goal, and its accuracy. */
static sv_err plot_usual(const list *l, uint32_t cols)
{
    const sv_run_view *r = &l->run[0];
    bool is_rl = sv_run_curve(r, "reward") != NULL;
    const sv_curve *accuracy = sv_run_accuracy(r);
    if (r->problem != NULL)
        sv_out("\n%s\n", r->problem);
    if (sv_run_curve(r, "loss") == NULL)
        return SV_OK;
    SV_TRY(plot_one(l, is_rl ? "reward" : "loss", cols));
    if (is_rl)
        SV_TRY(plot_one(l, "completions/mean_length", cols));
    return accuracy != NULL && accuracy->n > 1 ? plot_one(l, accuracy->name, cols) : SV_OK;
}

/* ---- the verb ---- */

static sv_err write_html(const list *l, const char *path)
{
    sv_bytes page = { 0 };
    sv_runs_html(l->run, l->n, &page);
    sv_err err = sv_file_write(path, (sv_str){ page.p, page.n });
    if (err == SV_OK)
        sv_note("%s: %zu run%s, %s", path, l->n, l->n == 1 ? "" : "s", sv_bytes_words((double)page.n));
    sv_bytes_done(&page);
    return err;
}

static sv_err show(const sv_args *a, const list *l)
{
    uint32_t cols = sv_out_cols(), n_plot = a->flag[SV_FLAG_PLOT].n;
    bool html = sv_arg_given(a, SV_FLAG_HTML);
    if (html)
        SV_TRY(write_html(l, sv_arg_text(a, SV_FLAG_HTML)));
    if (sv_arg_on(a, SV_FLAG_COMPARE))
        SV_TRY(compare(l, cols));
    for (uint32_t i = 0; i < n_plot; i++)
        SV_TRY(plot_one(l, a->flag[SV_FLAG_PLOT].value[i], cols));
    if (html || n_plot > 0 || sv_arg_on(a, SV_FLAG_COMPARE))
        return SV_OK;
    print_list(l, cols);
    return l->n == 1 ? plot_usual(l, cols) : SV_OK;
}

sv_err sv_cmd_runs(const sv_args *a)
{
    list l = { .arena = sv_arena_make() };
    sv_err err = SV_OK;
    for (uint32_t i = 0; err == SV_OK && i < a->n_word; i++)
        err = add_dir(&l, a->word[i]);
    if (a->n_word == 0)
        err = add_dir(&l, "runs");
    if (err == SV_OK && l.n == 0)
        err = sv_fail(SV_E_FORMAT, "no run whose log can be read");
    if (err == SV_OK && sv_arg_on(a, SV_FLAG_JSON))
        print_json(&l);
    else if (err == SV_OK)
        err = show(a, &l);
    for (size_t i = 0; i < l.n; i++)
        sv_run_done(&l.run[i]);
    sv_mem_free(l.run);
    sv_arena_drop(l.arena);
    return err;
}
