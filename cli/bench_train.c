/* SPDX-License-Identifier: Apache-2.0
 * samsvar bench MODEL: optimizer steps of the trainer on made-up rows, beside the machine's f32 peak.
 */
#include "base/file.h"
#include "cli/bench.h"
#include "train/trainer.h"

#define ROW 256   /* tokens of a training row */
#define ROWS 4    /* rows of a step */
#define WARM_UP 2 /* steps that do not count: plans and pages are new */
#define STEPS 3   /* the fastest counts */
#define TRAIN_BYTES \
    32.0 /* of a parameter: weight, gradient, two moments; on the chip, and most of them on the host \
          */

/* A file of rows of ids in the cache folder. */
static sv_err write_rows(const sv_model *m, sv_arena *a, const char **path)
{
    char *dir;
    sv_bytes text = { 0 };
    SV_TRY(sv_file_cache_dir(a, &dir));
    for (uint32_t r = 0; r < ROWS; r++) {
        sv_bytes_text(&text, "{\"ids\": [");
        for (uint32_t i = 0; i < ROW; i++)
            sv_bytes_printf(&text, "%s%u", i ? ", " : "", (7919u * i + 104729u * r + 1) % m->config.n_vocab);
        sv_bytes_text(&text, "]}\n");
    }
    *path = sv_path_join(a, dir, "bench-rows.jsonl");
    sv_err err = sv_file_write(*path, (sv_str){ text.p, text.n });
    sv_bytes_done(&text);
    return err;
}

static sv_err open_run(const sv_args *a, const sv_model *m, sv_arena *arena, sv_recipe **r, sv_train **t)
{
    const char *rows = NULL, *chip = sv_arg_text(a, SV_FLAG_CHIP);
    SV_TRY(write_rows(m, arena, &rows));
    const char *set[] = {
        "train.method=pretrain",
        "data.kind=ids",
        "schedule.warmup=0",
        sv_arena_printf(arena, "train.steps=%d", WARM_UP + STEPS),
        sv_arena_printf(arena, "train.batch_rows=%d", ROWS),
        sv_arena_printf(arena, "train.pack_tokens=%d", ROW),
        sv_arena_printf(arena, "data.path=%s", rows),
        sv_arena_printf(arena, "model.from=%s", m->path),
        sv_arena_printf(arena, "threads=%u", (unsigned)sv_arg_u64(a, SV_FLAG_THREADS)),
        sv_arena_printf(arena, "chip=%s", chip ? chip : ""),
    };
    SV_TRY(sv_recipe_parse(SV_STR(""), "bench", set, sizeof set / sizeof *set, r));
    return sv_train_open(*r, t);
}

static sv_err time_steps(sv_train *t, double *tok_s)
{
    sv_train_report report = { 0 };
    for (uint32_t i = 0; i < WARM_UP + STEPS; i++) {
        SV_TRY(sv_train_step(t, &report));
        double rate = (double)report.n_tok / report.step_s;
        if (i >= WARM_UP && rate > *tok_s)
            *tok_s = rate;
    }
    return SV_OK;
}

sv_err sv_bench_train(const sv_args *a, const sv_peaks *p, const sv_model *m, double products, bool asked)
{
    double n_param = 0, tok_s = 0, room = 0.5 * (double)p->dev.info.mem_bytes;
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++)
        n_param += m->data[id] ? (double)sv_tensor_items(&m->shape[id]) : 0;
    if (!asked && (m->config.n_ctx < ROW || (room > 0 && TRAIN_BYTES * n_param > room)))
        return SV_OK;
    sv_arena *arena = sv_arena_make();
    sv_recipe *r = NULL;
    sv_train *t = NULL;
    sv_live("steps of %d x %d tokens ...", ROWS, ROW);
    sv_err err = open_run(a, m, arena, &r, &t);
    if (err == SV_OK)
        err = time_steps(t, &tok_s);
    sv_train_close(t);
    sv_recipe_drop(r);
    sv_arena_drop(arena);
    /* Forward, and twice as much backward: 6 operations for a weight and token. */
    if (err == SV_OK)
        sv_bench_print(a, p, m, "train", ROW, 0, ROWS, tok_s, 6 * products * tok_s / p->fma, "fma");
    return err;
}
