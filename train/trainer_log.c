/* SPDX-License-Identifier: Apache-2.0
 * What a run writes down: curve.tsv, where the same run is the same bytes, and log.jsonl, which has the times.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "num/bits.h"
#include "train/trainer_impl.h"

/* Bytes of curve.tsv up to and with the line of a step; lines ascend. */
static uint64_t curve_length(sv_str text, uint64_t step)
{
    size_t at = 0;
    while (at < text.n) {
        const char *line = text.p + at, *end = memchr(line, '\n', text.n - at), *tab;
        uint64_t s;
        if (end == NULL)
            break; /* cut in the middle by a crash */
        tab = memchr(line, '\t', (size_t)(end - line));
        if (tab == NULL || !sv_str_u64((sv_str){ line, (size_t)(tab - line) }, &s) || s > step)
            break;
        at = (size_t)(end + 1 - text.p);
    }
    return at;
}

/* Forgets what came after the checkpoint that the run goes on from. */
static sv_err cut_curve(sv_train *t, const char *path)
{
    sv_file_map map;
    SV_TRY(sv_file_map_open(path, &map));
    uint64_t keep = curve_length((sv_str){ (const char *)map.p, map.n }, t->mark.step), n = map.n;
    sv_file_map_close(&map);
    return keep == n ? SV_OK : sv_file_log_cut(t->curve, keep);
}

/* A full disk does not end a run: lines wait in memory for the next try. */
static sv_err append(sv_file_log *f, sv_bytes *waiting, sv_bytes *line)
{
    sv_bytes_add(waiting, line->p, line->n);
    sv_bytes_done(line);
    SV_TRY(waiting->n ? sv_file_log_write(f, (sv_str){ waiting->p, waiting->n }) : SV_OK);
    sv_bytes_clear(waiting);
    return SV_OK;
}

sv_err sv_train_sync_curve(sv_train *t)
{
    sv_bytes none = { 0 };
    SV_TRY(append(t->curve, &t->curve_waiting, &none));
    return sv_file_log_sync(t->curve);
}

sv_err sv_train_open_logs(sv_train *t)
{
    char *curve = sv_path_join(t->arena, t->run_dir, "curve.tsv");
    SV_TRY(sv_file_log_open(sv_path_join(t->arena, t->run_dir, "log.jsonl"), &t->log));
    SV_TRY(sv_file_log_open(curve, &t->curve));
    SV_TRY(cut_curve(t, curve));
    json_t *recipe = sv_recipe_contract(t->recipe), *open;
    open = json_pack("{s:s, s:I, s:o}", "event", "open", "step", (json_int_t)t->mark.step, "recipe", recipe);
    sv_train_log(t, open);
    json_decref(open);
    return SV_OK;
}

void sv_train_close_logs(sv_train *t)
{
    sv_bytes_done(&t->log_waiting);
    sv_bytes_done(&t->curve_waiting);
    if (t->log != NULL)
        sv_file_log_close(t->log);
    if (t->curve != NULL)
        sv_file_log_close(t->curve);
}

static int add_text(const char *text, size_t n, void *out)
{
    sv_bytes_add(out, text, n);
    return 0;
}

void sv_train_log(sv_train *t, const json_t *event)
{
    if (t->log == NULL)
        return;
    json_t *o = json_copy((json_t *)(uintptr_t)event);
    json_object_set_new(o, "v", json_integer(1));
    json_object_set_new(o, "time", json_integer((json_int_t)sv_clock_unix()));
    sv_bytes line = { 0 };
    json_dump_callback(o, add_text, &line, JSON_COMPACT | JSON_REAL_PRECISION(9));
    sv_bytes_char(&line, '\n');
    json_decref(o);
    append(t->log, &t->log_waiting, &line);
}

/* JSON has no inf and NaN. */
static json_t *number(double v)
{
    return v - v == 0.0 ? json_real(v) : json_null();
}

static void log_event(sv_train *t, const sv_train_report *r, const json_t *extra)
{
    char hash[17];
    json_t *o = json_pack("{s:s, s:I}", "event", "step", "step", (json_int_t)r->step);
    json_object_set_new(o, "loss", number((double)r->loss));
    json_object_set_new(o, "grad_norm", number((double)r->grad_norm));
    json_object_set_new(o, "learning_rate", number((double)r->lr));
    json_object_set_new(o, "num_tokens", json_integer((json_int_t)r->total_tok));
    json_object_set_new(o, "tok_s", number(r->tok_s));
    json_object_set_new(o, "step_s", number(r->step_s));
    if (r->skipped)
        json_object_set_new(o, "skipped", json_true());
    if (r->spike)
        json_object_set_new(o, "spike", json_true());
    if (r->has_hash) {
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)r->weight_bits);
        json_object_set_new(o, "weight_hash", json_string(hash));
    }
    if (extra != NULL)
        json_object_update(o, (json_t *)(uintptr_t)extra);
    sv_train_log(t, o);
    json_decref(o);
}

void sv_train_log_step(sv_train *t, const sv_train_report *r, const json_t *extra)
{
    sv_bytes line = { 0 };
    if (t->curve == NULL)
        return;
    sv_bytes_printf(&line, "%llu\t%08x\t%08x\t", (unsigned long long)r->step, sv_bits_canonical(sv_bits_u32(r->loss)),
                    sv_bits_canonical(sv_bits_u32(r->grad_norm)));
    if (r->has_hash)
        sv_bytes_printf(&line, "%016llx\n", (unsigned long long)r->weight_bits);
    else
        sv_bytes_text(&line, "-\n");
    append(t->curve, &t->curve_waiting, &line);
    log_event(t, r, extra);
}

void sv_train_log_saved(sv_train *t, const char *dir)
{
    char hash[17];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)t->mark.weight_bits);
    json_t *o = json_pack("{s:s, s:I, s:s, s:s}", "event", "checkpoint", "step", (json_int_t)t->mark.step, "weights",
                          hash, "dir", sv_path_base(dir));
    sv_train_log(t, o);
    json_decref(o);
}
