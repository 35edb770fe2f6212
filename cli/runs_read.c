/* SPDX-License-Identifier: Apache-2.0
 * From the lines of a log to curves.
 */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/runs.h"
#include "format/jsonl.h"

bool sv_run_is(const char *dir)
{
    sv_arena *a = sv_arena_make();
    bool is = sv_file_is_dir(dir) && sv_file_exists(sv_path_join(a, dir, "log.jsonl"));
    sv_arena_drop(a);
    return is;
}

const sv_curve *sv_run_curve(const sv_run_view *r, const char *name)
{
    for (size_t i = 0; i < r->n_curve; i++)
        if (strcmp(r->curve[i].name, name) == 0)
            return &r->curve[i];
    return NULL;
}

const sv_curve *sv_run_accuracy(const sv_run_view *r)
{
    for (size_t i = 0; i < r->n_curve; i++)
        if (strncmp(r->curve[i].name, "eval/mean@", 10) == 0 && strchr(r->curve[i].name, '_') == NULL)
            return &r->curve[i];
    return sv_run_curve(r, "eval/greedy");
}

double sv_curve_end(const sv_curve *c)
{
    size_t k = c->n / 20 + 1;
    double sum = 0;
    for (size_t i = c->n - k; i < c->n; i++)
        sum += c->value[i];
    return sum / (double)k;
}

/* ---- events ---- */

static sv_curve *curve_of(sv_run_view *r, sv_arena *a, const char *prefix, const char *name, size_t hint)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    if (hint < r->n_curve && strcmp(r->curve[hint].name, full) == 0)
        return &r->curve[hint];
    for (size_t i = 0; i < r->n_curve; i++)
        if (strcmp(r->curve[i].name, full) == 0)
            return &r->curve[i];
    sv_curve c = { .name = sv_arena_text(a, full) };
    SV_PUSH(r->curve, r->n_curve, r->cap_curve, c);
    return &r->curve[r->n_curve - 1];
}

static void add_point(sv_curve *c, double step, double value, double low, double high)
{
    if (c->n == c->cap) {
        double **part[4] = { &c->step, &c->value, &c->low, &c->high };
        size_t cap = c->cap ? 2 * c->cap : 64;
        for (int i = 0; i < 4; i++)
            *part[i] = sv_mem_grow(*part[i], c->cap * sizeof(double), cap * sizeof(double));
        c->cap = cap;
    }
    c->step[c->n] = step;
    c->value[c->n] = value;
    c->low[c->n] = low;
    c->high[c->n++] = high;
}

static double number(const json_t *o, const char *key, double none)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : none;
}

static const char *word(const json_t *o, const char *key, sv_arena *a)
{
    const char *text = json_string_value(json_object_get(o, key));
    return sv_arena_text(a, text ? text : "");
}

static void take_step(sv_run_view *r, sv_arena *a, json_t *o, uint64_t step)
{
    const char *key;
    json_t *v;
    size_t hint = 0;
    json_object_foreach(o, key, v)
    {
        if (!json_is_number(v) || strcmp(key, "v") == 0 || strcmp(key, "step") == 0 || strcmp(key, "time") == 0)
            continue;
        sv_curve *c = curve_of(r, a, "", key, hint);
        hint = (size_t)(c - r->curve) + 1;
        add_point(c, (double)step, json_number_value(v), NAN, NAN);
    }
    if (json_object_get(o, "weight_hash") != NULL) {
        struct sv_run_hash h = { step, word(o, "weight_hash", a) };
        SV_PUSH(r->hash, r->n_hash, r->cap_hash, h);
    }
    r->step = step;
}

static void take_eval(sv_run_view *r, sv_arena *a, json_t *o, uint64_t step)
{
    const char *key;
    json_t *v;
    json_object_foreach(json_object_get(o, "metrics"), key, v)
    {
        sv_curve *c = curve_of(r, a, "eval/", key, SIZE_MAX);
        while (c->n > 0 && c->step[c->n - 1] >= (double)step) /* evaluated again: the later one counts */
            c->n--;
        add_point(c, (double)step, number(v, "value", NAN), number(v, "low", NAN), number(v, "high", NAN));
    }
}

static void take_sample(sv_run_view *r, sv_arena *a, json_t *o, uint64_t step)
{
    sv_transcript t = { .step = step,
                        .tokens = (uint64_t)number(o, "tokens", 0),
                        .problem = word(o, "problem", a),
                        .output = word(o, "output", a),
                        .verdict = word(o, "verdict", a),
                        .reward = number(o, "reward", 0),
                        .advantage = number(o, "advantage", 0) };
    SV_PUSH(r->sample, r->n_sample, r->cap_sample, t);
}

/* The run went on from here: what came later is made again. Logs are cut at that moment, too; this is for a log that
 * was copied from a run at work, or is from an older version. */
static void go_back(sv_run_view *r, uint64_t step)
{
    for (size_t i = 0; i < r->n_curve; i++)
        while (r->curve[i].n > 0 && r->curve[i].step[r->curve[i].n - 1] > (double)step)
            r->curve[i].n--;
    while (r->n_sample > 0 && r->sample[r->n_sample - 1].step > step)
        r->n_sample--;
    while (r->n_hash > 0 && r->hash[r->n_hash - 1].step > step)
        r->n_hash--;
    r->step = r->step < step ? r->step : step;
}

static void take_open(sv_run_view *r, sv_arena *a, json_t *o, uint64_t step)
{
    json_t *recipe = json_object_get(o, "recipe");
    go_back(r, step);
    r->n_resumed += step > 0;
    json_decref(r->recipe);
    r->recipe = json_incref(recipe);
    r->method = json_object_get(o, "method") ? word(o, "method", a) : word(recipe, "train.method", a);
    r->steps = (uint64_t)number(o, "steps", 0);
    if (r->steps == 0)
        sv_str_u64(sv_str_of(word(recipe, "train.steps", a)), &r->steps);
}

static void take(sv_run_view *r, sv_arena *a, json_t *o)
{
    const char *kind = json_string_value(json_object_get(o, "event"));
    double at = number(o, "step", 0);
    uint64_t step = at > 0 && at < 0x1p53 ? (uint64_t)at : 0;
    if (kind == NULL)
        return;
    bool failed = strcmp(kind, "failed") == 0;
    if (strcmp(kind, "step") == 0)
        take_step(r, a, o, step);
    else if (strcmp(kind, "eval") == 0)
        take_eval(r, a, o, step);
    else if (strcmp(kind, "sample") == 0)
        take_sample(r, a, o, step);
    else if (strcmp(kind, "open") == 0)
        take_open(r, a, o, step);
    if (failed || strcmp(kind, "open") == 0)
        r->problem = failed ? word(o, "text", a) : NULL;
}

/* The process that holds the run's lock is alive. */
static bool is_held(const char *dir, sv_arena *a)
{
    sv_str text;
    const char *path = sv_path_join(a, dir, "run.lock");
    if (!sv_file_exists(path) || sv_file_read(path, 64, a, &text) != SV_OK)
        return false;
    long pid = strtol(text.p, NULL, 10);
    return pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

static void sum_up(sv_run_view *r, sv_arena *a)
{
    const sv_curve *tokens = sv_run_curve(r, "tokens/generated"), *s = sv_run_curve(r, "step_s");
    const sv_curve *total = sv_run_curve(r, "num_tokens");
    bool done = r->steps > 0 && r->step >= r->steps;
    r->state = done ? "done" : is_held(r->dir, a) ? "running" : r->problem ? "failed" : "stopped";
    for (size_t i = 0; s != NULL && i < s->n; i++)
        r->seconds += s->value[i];
    double sum = 0, before = 0;
    for (size_t i = 0; tokens != NULL && i < tokens->n; i++)
        sum += tokens->value[i];
    for (size_t i = 0; tokens == NULL && total != NULL && i < total->n; i++) { /* counted since each start */
        sum += total->value[i] >= before ? total->value[i] - before : total->value[i];
        before = total->value[i];
    }
    r->tokens = (uint64_t)sum;
}

sv_err sv_run_read(const char *dir, sv_arena *arena, sv_run_view *out)
{
    sv_jsonl *lines;
    sv_jsonl_line line;
    json_t *o = NULL;
    *out = (sv_run_view){ .dir = sv_arena_text(arena, dir), .method = "" };
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    out->name = sv_path_base(sv_arena_textn(arena, dir, n));
    SV_TRY(sv_jsonl_open(sv_path_join(arena, dir, "log.jsonl"), &lines));
    sv_err err;
    do {
        err = sv_jsonl_next(lines, &line, &o);
        sv_str all = sv_jsonl_bytes(lines);
        if (err != SV_OK && line.offset + line.text.n >= all.n) {
            err = SV_OK; /* being written, or cut by a crash */
            break;
        }
        if (err == SV_OK && o != NULL)
            take(out, arena, o);
        if (err == SV_OK && o == NULL)
            break;
        json_decref(o);
        o = NULL;
    } while (err == SV_OK);
    sv_jsonl_close(lines);
    if (err == SV_OK)
        sum_up(out, arena);
    else
        sv_run_done(out);
    return err;
}

void sv_run_done(sv_run_view *r)
{
    for (size_t i = 0; i < r->n_curve; i++) {
        sv_mem_free(r->curve[i].step);
        sv_mem_free(r->curve[i].value);
        sv_mem_free(r->curve[i].low);
        sv_mem_free(r->curve[i].high);
    }
    sv_mem_free(r->curve);
    sv_mem_free(r->sample);
    sv_mem_free(r->hash);
    json_decref(r->recipe);
    *r = (sv_run_view){ 0 };
}
