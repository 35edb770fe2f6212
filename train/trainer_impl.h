/* SPDX-License-Identifier: Apache-2.0
 * What the files of the trainer share. Not for others.
 */
#ifndef SV_TRAIN_TRAINER_IMPL_H
#define SV_TRAIN_TRAINER_IMPL_H

#include <signal.h>

#include "base/file.h"
#include "train/ckpt.h"
#include "train/guard.h"
#include "train/loss.h"
#include "train/optim.h"
#include "train/runlog.h"
#include "train/schedule.h"
#include "train/trainer.h"

struct sv_train {
    const sv_recipe *recipe;
    sv_arena *arena;      /* of the run */
    sv_arena *save_arena; /* of one save */
    sv_model *model;      /* F32, writable */
    sv_data *data;
    sv_runner *runner;
    sv_loss *loss;
    sv_optim *optim;
    sv_guard guard;
    sv_schedule schedule;
    sv_batch batch;
    sv_row *row; /* [n_row_cap] of the step at hand */
    size_t cap_row;
    float *lp; /* [cap_lp] */
    size_t cap_lp;
    sv_lora *lora;     /* what is trained beside a frozen model, or NULL */
    sv_params params;  /* what is trained */
    float **moment[2]; /* [params.n] host copies for saving; NULL until needed */
    uint8_t data_hash[32];
    sv_ckpt_mark mark; /* step, cursor */
    uint64_t resumed_from, saved_step, total_tok;
    const char *skipped, *run_dir; /* run_dir NULL: none */
    int lock_fd;
    sv_file_log *log, *curve;
    sv_runlog *runlog;                   /* NULL: none */
    sv_bytes log_waiting, curve_waiting; /* lines that the disk did not take */
    double rate;                         /* tokens a second, smoothed */
    double step_rate;                    /* seconds a step, smoothed */
    volatile sig_atomic_t stop;
    bool is_synced; /* model holds the weights of now */
};

/* trainer_open.c */
sv_err sv_train_load_model(sv_train *t, const char *ckpt_dir); /* NULL: by the recipe; the adapter too */
sv_err sv_train_open_run(sv_train *t);                         /* folder, lock, logs; finds the checkpoint */
/* trainer_log.c */
sv_err sv_train_open_logs(sv_train *t);
sv_err sv_train_sync_logs(sv_train *t); /* to the disk, with the lines that wait */
void sv_train_log_step(sv_train *t, const sv_train_report *r, const json_t *extra);
void sv_train_log_saved(sv_train *t, const char *dir);
void sv_train_close_logs(sv_train *t);
/* trainer.c */
sv_err sv_train_sync(sv_train *t); /* weights to the host */

#endif
