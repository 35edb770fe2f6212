/* SPDX-License-Identifier: Apache-2.0
 * The loop: rows, leaves, gradients, guard, update, save.
 */
#include "train/trainer.h"

#include <string.h>

#include "base/clock.h"
#include "num/bits.h"
#include "num/sum.h"
#include "train/trainer_impl.h"

sv_err sv_train_open(const sv_recipe *r, sv_train **out)
{
    sv_train *t = sv_mem_new(sizeof *t);
    t->recipe = r;
    t->arena = sv_arena_make();
    t->save_arena = sv_arena_make();
    t->lock_fd = -1;
    t->skipped = "";
    t->mark.power1 = t->mark.power2 = 1.0;
    t->schedule = sv_schedule_of(r);
    sv_err err = sv_train_open_run(t);
    if (err != SV_OK) {
        sv_train_close(t);
        return err;
    }
    *out = t;
    return SV_OK;
}

static void drop_moments(sv_train *t)
{
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; t->moment[k] != NULL && i < t->params.n; i++)
            if (t->moment[k][i] != NULL)
                sv_mem_large_free(t->moment[k][i], 4 * sv_tensor_items(&t->params.item[i].shape));
}

void sv_train_close(sv_train *t)
{
    if (t == NULL)
        return;
    sv_train_close_logs(t);
    drop_moments(t);
    sv_optim_close(t->optim);
    sv_loss_close(t->loss);
    sv_runner_close(t->runner);
    sv_data_close(t->data);
    sv_lora_close(t->lora);
    sv_model_close(t->model);
    sv_batch_done(&t->batch);
    sv_mem_free(t->row);
    sv_mem_free(t->lp);
    if (t->lock_fd >= 0)
        sv_file_unlock(t->lock_fd);
    sv_arena_drop(t->save_arena);
    sv_arena_drop(t->arena);
    sv_mem_free(t);
}

bool sv_train_done(const sv_train *t)
{
    return t->mark.step >= t->schedule.steps;
}
uint64_t sv_train_steps_made(const sv_train *t)
{
    return t->mark.step;
}
uint64_t sv_train_resumed_from(const sv_train *t)
{
    return t->resumed_from;
}
const char *sv_train_skipped(const sv_train *t)
{
    return t->skipped;
}
const sv_data_stats *sv_train_data(const sv_train *t)
{
    return sv_data_stats_of(t->data);
}
sv_runner *sv_train_runner(sv_train *t)
{
    return t->runner;
}
void sv_train_request_stop(sv_train *t)
{
    t->stop = 1;
}

/* ---- weights on the host ---- */

static sv_err fetch(sv_train *t, sv_kind kind, uint32_t id, float *to)
{
    return sv_store_get(sv_runner_store(t->runner), kind, id, to);
}

sv_err sv_train_sync(sv_train *t)
{
    for (uint32_t i = 0; !t->is_synced && i < t->params.n; i++)
        SV_TRY(fetch(t, SV_KIND_WEIGHT, t->params.item[i].id, t->params.item[i].host));
    t->is_synced = true;
    return SV_OK;
}

sv_err sv_train_model(sv_train *t, const sv_model **out)
{
    *out = t->model;
    return sv_train_sync(t);
}

sv_err sv_train_hash(sv_train *t, uint64_t *bits)
{
    uint64_t first = 0;
    SV_TRY(sv_train_sync(t));
    *bits = sv_ckpt_bits(&t->params, NULL, &first);
    return SV_OK;
}

/* ---- saving ---- */

static sv_err fill_mark(sv_train *t)
{
    uint64_t first = 0;
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; i < t->params.n; i++)
            SV_TRY(fetch(t, k ? SV_KIND_ADAM_V : SV_KIND_ADAM_M, t->params.item[i].id, t->moment[k][i]));
    SV_TRY(sv_train_hash(t, &t->mark.weight_bits));
    sv_optim_powers(t->optim, &t->mark.power1, &t->mark.power2, &t->mark.n_update);
    t->mark.state_bits = 0;
    for (int k = 0; k < 2; k++)
        t->mark.state_bits += sv_ckpt_bits(&t->params, (const float *const *)t->moment[k], &first);
    return SV_OK;
}

sv_err sv_train_save(sv_train *t, const char **dir)
{
    char *at;
    if (t->run_dir == NULL)
        return sv_fail(SV_E_ARG, "%s: there is no run.dir to save into", sv_recipe_name(t->recipe));
    sv_arena_reset(t->save_arena);
    SV_TRY(fill_mark(t));
    SV_TRY(sv_train_sync_logs(t));
    const sv_machine *m = sv_runner_machine(t->runner);
    sv_ckpt c = { .mark = t->mark,
                  .model = t->model,
                  .lora = t->lora,
                  .params = &t->params,
                  .m = (const float *const *)t->moment[0],
                  .v = (const float *const *)t->moment[1],
                  .recipe = t->recipe,
                  .data_hash = t->data_hash,
                  .chip = m->dev.spec,
                  .n_thread = m->dev.info.n_thread,
                  .keep = sv_recipe_u64(t->recipe, SV_KEY_CKPT_KEEP),
                  .every = sv_recipe_u64(t->recipe, SV_KEY_CKPT_EVERY) };
    SV_TRY(sv_ckpt_save(&c, t->run_dir, t->save_arena, &at));
    t->saved_step = t->mark.step;
    if (dir != NULL)
        *dir = at;
    sv_train_log_saved(t, at);
    return SV_OK;
}

/* A disk that is full or broken does not end the run: the next interval tries again. */
static sv_err save_if_due(sv_train *t, sv_train_report *r)
{
    uint64_t every = sv_recipe_u64(t->recipe, SV_KEY_CKPT_EVERY);
    bool due = r->done || r->stopped || (every > 0 && r->step % every == 0);
    if (t->run_dir == NULL)
        return SV_OK;
    if (due) {
        sv_err err = sv_train_save(t, NULL);
        bool may_go_on = err == SV_E_IO || err == SV_E_NOSPACE || err == SV_E_NOMEM;
        if (err != SV_OK && !(may_go_on && !r->done && !r->stopped))
            return err;
        r->saved = err == SV_OK;
        if (err != SV_OK)
            r->save_problem = sv_arena_text(t->save_arena, sv_err_text());
    }
    r->unsaved_steps = r->step - t->saved_step;
    return SV_OK;
}

/* ---- a step ---- */

size_t sv_train_count(const sv_row *row, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        for (uint32_t j = 1; j < row[i].n; j++)
            total += row[i].counted[j] != 0;
    return total;
}

static void reserve_lp(sv_train *t, size_t n)
{
    if (n <= t->cap_lp)
        return;
    t->lp = sv_mem_grow(t->lp, t->cap_lp * sizeof *t->lp, 2 * n * sizeof *t->lp);
    t->cap_lp = 2 * n;
}

/* Runs a packed batch leaf by leaf; log-probs to t->lp. */
static sv_err run_batch(sv_train *t, const sv_row *row, size_t n, bool backward, uint32_t *n_micro)
{
    size_t micro = sv_recipe_u64(t->recipe, SV_KEY_MICRO);
    sv_batch *b = &t->batch;
    sv_batch_pack(b, row, n, (uint32_t)sv_recipe_u64(t->recipe, SV_KEY_PACK_TOKENS));
    if (b->n_tok > INT32_MAX)
        return sv_fail(SV_E_LIMIT, "a batch of %zu tokens is above 2^31; lower train.batch_rows", b->n_tok);
    reserve_lp(t, b->n_want);
    *n_micro = 0;
    for (size_t lo = 0; lo < b->n_leaf; lo += micro, (*n_micro)++) {
        sv_step step;
        size_t hi = b->n_leaf - lo < micro ? b->n_leaf : lo + micro;
        sv_batch_step(b, lo, hi, &step);
        SV_TRY(sv_loss_run(t->loss, &step, backward, t->lp + b->leaf_want[lo]));
    }
    return SV_OK;
}

/* The mean in the order of rows and tokens, whatever was in flight together. */
static float mean_loss(const sv_train *t)
{
    size_t n = t->batch.n_want;
    return n ? (0.0f - sv_sum(t->lp, n)) / (float)n : 0.0f;
}

/* Keeps the state of the last good step and stops the run. */
static sv_err stop_by_guard(sv_train *t, const sv_train_report *r)
{
    sv_err err = t->run_dir && t->saved_step != t->mark.step ? sv_train_save(t, NULL) : SV_OK;
    if (err != SV_OK)
        return err;
    return sv_fail(SV_E_GUARD,
                   "step %llu: loss %g, gradient norm %g; stopped before the update%s. guard.nonfinite: skip goes on",
                   (unsigned long long)(t->mark.step + 1), (double)r->loss, (double)r->grad_norm,
                   t->run_dir ? ", the step before is saved" : "");
}

static void fill_rates(sv_train *t, sv_train_report *r, double seconds)
{
    double share = t->step_rate > 0.0 ? 0.05 : 1.0;
    t->step_rate = t->step_rate + share * (seconds - t->step_rate);
    double rate = seconds > 0.0 ? (double)r->n_tok / seconds : 0.0;
    t->rate = t->rate + share * (rate - t->rate);
    t->total_tok += r->n_tok;
    r->step_s = seconds;
    r->tok_s = t->rate;
    r->total_tok = t->total_tok;
    r->left_s = t->step_rate * (double)(r->steps > r->step ? r->steps - r->step : 0);
}

static sv_err check_open(const sv_train *t)
{
    if (sv_train_done(t))
        return sv_fail(SV_E_ARG, "%s: all %llu steps are made; raise train.steps in a new run.dir",
                       sv_recipe_name(t->recipe), (unsigned long long)t->schedule.steps);
    return SV_OK;
}

sv_err sv_train_gradient(sv_train *t, const sv_row *row, size_t n, float *lp, sv_train_report *r)
{
    SV_TRY(check_open(t));
    SV_TRY(sv_loss_clear(t->loss));
    SV_TRY(run_batch(t, row, n, true, &r->n_micro));
    r->n_row += (uint32_t)n;
    r->n_leaf += (uint32_t)t->batch.n_leaf;
    r->n_tok += t->batch.n_tok;
    r->n_counted = t->batch.n_want;
    r->loss = mean_loss(t);
    if (lp != NULL && t->batch.n_want > 0)
        memcpy(lp, t->lp, t->batch.n_want * sizeof *lp);
    return sv_optim_norm(t->optim, &r->grad_norm);
}

/* Guard and update. */
sv_err sv_train_apply(sv_train *t, sv_train_report *r)
{
    r->clip = sv_optim_clip(r->grad_norm, (float)sv_recipe_f64(t->recipe, SV_KEY_CLIP));
    r->lr = sv_schedule_rate(&t->schedule, t->mark.step);
    sv_guard_view view = sv_guard_step(&t->guard, r->loss, r->grad_norm);
    r->spike = view == SV_GUARD_SPIKE;
    r->skipped = view == SV_GUARD_NONFINITE || r->n_counted == 0;
    if (view == SV_GUARD_NONFINITE && sv_recipe_is(t->recipe, SV_KEY_NONFINITE, "stop"))
        return stop_by_guard(t, r);
    if (r->skipped)
        return SV_OK;
    t->is_synced = false;
    return sv_optim_update(t->optim, r->lr, r->clip);
}

sv_err sv_train_finish(sv_train *t, double start, const json_t *extra, sv_train_report *r)
{
    t->mark.step++;
    t->mark.cursor += r->n_row;
    r->step = t->mark.step;
    r->steps = t->schedule.steps;
    r->done = sv_train_done(t);
    r->stopped = t->stop != 0;
    fill_rates(t, r, sv_clock_s() - start);
    r->has_hash = r->done || r->step % sv_recipe_u64(t->recipe, SV_KEY_HASH_EVERY) == 0;
    if (r->has_hash)
        SV_TRY(sv_train_hash(t, &r->weight_bits));
    sv_train_log_step(t, r, extra);
    return save_if_due(t, r);
}

sv_err sv_train_update(sv_train *t, const sv_row *row, size_t n, float *lp, sv_train_report *out)
{
    double start = sv_clock_s();
    *out = (sv_train_report){ 0 };
    SV_TRY(sv_train_gradient(t, row, n, lp, out));
    SV_TRY(sv_train_apply(t, out));
    return sv_train_finish(t, start, NULL, out);
}

sv_err sv_train_step(sv_train *t, sv_train_report *out)
{
    double start = sv_clock_s();
    size_t n = sv_recipe_u64(t->recipe, SV_KEY_BATCH_ROWS);
    *out = (sv_train_report){ 0 };
    SV_TRY(check_open(t));
    if (n > t->cap_row) {
        t->row = sv_mem_grow(t->row, t->cap_row * sizeof *t->row, n * sizeof *t->row);
        t->cap_row = n;
    }
    sv_data_recycle(t->data);
    for (size_t b = 0; b < n; b++)
        SV_TRY(sv_data_row(t->data, t->mark.step, t->mark.cursor, (uint32_t)b, &t->row[b]));
    SV_TRY(sv_train_gradient(t, t->row, n, NULL, out));
    SV_TRY(sv_train_apply(t, out));
    return sv_train_finish(t, start, NULL, out);
}

/* ---- without an update ---- */

sv_err sv_train_score(sv_train *t, const sv_row *row, size_t n, float *lp)
{
    uint32_t n_micro;
    SV_TRY(run_batch(t, row, n, false, &n_micro));
    if (t->batch.n_want > 0)
        memcpy(lp, t->lp, t->batch.n_want * sizeof *lp);
    return SV_OK;
}

sv_err sv_train_eval(sv_train *t, uint32_t n_most, double *loss, uint32_t *n_row)
{
    uint32_t n = sv_data_n_eval(t->data), n_micro;
    uint64_t counted = 0;
    double total = 0.0;
    if (n > n_most)
        n = n_most;
    *n_row = n;
    *loss = 0.0;
    for (uint32_t i = 0; i < n; i += 64) {
        sv_row row[64];
        uint32_t part = n - i < 64 ? n - i : 64;
        sv_data_recycle(t->data);
        for (uint32_t k = 0; k < part; k++)
            SV_TRY(sv_data_eval_row(t->data, i + k, &row[k]));
        SV_TRY(run_batch(t, row, part, false, &n_micro));
        for (size_t k = 0; k < t->batch.n_want; k++)
            total = total - (double)t->lp[k];
        counted += t->batch.n_want;
    }
    *loss = counted ? total / (double)counted : 0.0;
    return SV_OK;
}
