/* SPDX-License-Identifier: Apache-2.0
 * What a run writes down: curve.tsv, where the same run is the same bytes; log.jsonl, which has the times; and the same
 * events in log.sqlite.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "format/jsonl.h"
#include "num/bits.h"
#include "samsvar/op.h"
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

sv_err sv_train_sync_logs(sv_train *t)
{
    sv_bytes none = { 0 };
    SV_TRY(append(t->curve, &t->curve_waiting, &none));
    SV_TRY(append(t->log, &t->log_waiting, &none));
    SV_TRY(sv_file_log_sync(t->log));
    return sv_file_log_sync(t->curve);
}

/* ---- going on ---- */

/* The lines of log.jsonl that stay: whole ones, without the steps that are made again. *n_step: steps among them. */
static sv_err kept_lines(const sv_train *t, const char *path, sv_bytes *out, bool *changes, uint64_t *n_step)
{
    sv_jsonl *r;
    sv_jsonl_line line;
    json_t *o = NULL;
    *changes = false;
    *n_step = 0;
    SV_TRY(sv_jsonl_open(path, &r));
    do {
        sv_err err = sv_jsonl_next(r, &line, &o);
        if (err != SV_OK) { /* cut in the middle by a crash; nothing else writes here */
            *changes = true;
            continue;
        }
        if (o == NULL)
            break;
        uint64_t step = (uint64_t)json_integer_value(json_object_get(o, "step"));
        bool stays = !sv_runlog_is_of_step(o) || step <= t->mark.step;
        const char *kind = json_string_value(json_object_get(o, "event"));
        *n_step += stays && kind != NULL && strcmp(kind, "step") == 0;
        *changes |= !stays;
        if (stays) {
            sv_bytes_add(out, line.text.p, line.text.n);
            sv_bytes_char(out, '\n');
        }
        json_decref(o);
    } while (true);
    sv_str all = sv_jsonl_bytes(r);
    *changes |= all.n > 0 && all.p[all.n - 1] != '\n';
    sv_jsonl_close(r);
    return SV_OK;
}

static sv_err copy_lines(sv_train *t, sv_str lines)
{
    sv_jsonl *r;
    sv_jsonl_line line;
    json_t *o = NULL;
    SV_TRY(sv_jsonl_open_bytes(lines, "log.jsonl", &r));
    sv_err err = sv_runlog_begin(t->runlog);
    while (err == SV_OK && (err = sv_jsonl_next(r, &line, &o)) == SV_OK && o != NULL) {
        err = sv_runlog_put(t->runlog, o);
        json_decref(o);
    }
    sv_jsonl_close(r);
    return err == SV_OK ? sv_runlog_end(t->runlog) : err;
}

static sv_err drop_runlog(sv_train *t, const char *path)
{
    sv_runlog_close(t->runlog);
    t->runlog = NULL;
    SV_TRY(sv_file_remove_tree(sv_arena_printf(t->arena, "%s-wal", path)));
    SV_TRY(sv_file_remove_tree(sv_arena_printf(t->arena, "%s-shm", path)));
    SV_TRY(sv_file_remove_tree(path));
    return sv_runlog_open(path, &t->runlog);
}

/* log.sqlite as it must be; made again where it is damaged or does not have the steps of log.jsonl. */
static sv_err open_runlog(sv_train *t, sv_str lines, uint64_t n_step)
{
    const char *path = sv_path_join(t->arena, t->run_dir, "log.sqlite");
    uint64_t has = 0;
    sv_err err = sv_runlog_open(path, &t->runlog);
    if (err == SV_E_UNSUPPORTED)
        return SV_OK;
    if (err == SV_OK)
        err = sv_runlog_cut(t->runlog, t->mark.step, &has);
    if (err == SV_OK && has == n_step)
        return SV_OK;
    SV_TRY(drop_runlog(t, path));
    return copy_lines(t, lines);
}

/* The run log must not end a run: without it, log.jsonl says why. */
static void give_up_runlog(sv_train *t)
{
    json_t *o =
        json_pack("{s:s, s:I, s:s}", "event", "warning", "step", (json_int_t)t->mark.step, "text", sv_err_text());
    sv_runlog_close(t->runlog);
    t->runlog = NULL;
    sv_train_log(t, o);
    json_decref(o);
}

static sv_err open_log(sv_train *t)
{
    const char *path = sv_path_join(t->arena, t->run_dir, "log.jsonl");
    sv_bytes lines = { 0 };
    bool changes = false;
    uint64_t n_step = 0;
    sv_err err = sv_file_exists(path) ? kept_lines(t, path, &lines, &changes, &n_step) : SV_OK;
    sv_str kept = { lines.p ? lines.p : "", lines.n };
    if (err == SV_OK && changes)
        err = sv_file_write(path, kept);
    if (err == SV_OK)
        err = sv_file_log_open(path, &t->log);
    if (err == SV_OK && open_runlog(t, kept, n_step) != SV_OK)
        give_up_runlog(t);
    sv_bytes_done(&lines);
    return err;
}

sv_err sv_train_open_logs(sv_train *t)
{
    char *curve = sv_path_join(t->arena, t->run_dir, "curve.tsv");
    SV_TRY(open_log(t));
    SV_TRY(sv_file_log_open(curve, &t->curve));
    SV_TRY(cut_curve(t, curve));
    json_t *recipe = sv_recipe_contract(t->recipe), *open;
    open = json_pack("{s:s, s:I, s:s, s:s, s:I, s:i, s:o}", "event", "open", "step", (json_int_t)t->mark.step, "name",
                     sv_recipe_name(t->recipe), "method", sv_recipe_text(t->recipe, SV_KEY_METHOD), "steps",
                     (json_int_t)sv_recipe_u64(t->recipe, SV_KEY_STEPS), "opset", SV_OPSET, "recipe", recipe);
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
    sv_runlog_close(t->runlog);
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
    append(t->log, &t->log_waiting, &line);
    if (t->runlog != NULL && sv_runlog_put(t->runlog, o) != SV_OK)
        give_up_runlog(t); /* made again from log.jsonl at the next start */
    json_decref(o);
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
