/* SPDX-License-Identifier: Apache-2.0
 * Sampling evaluation: a set of problems with their judge, the answers of a model to it, the figures made of them.
 * Used by eval, train and demo. Threads: the main thread.
 */
#ifndef SV_CLI_EVAL_H
#define SV_CLI_EVAL_H

#include "cli/cmd.h"
#include "train/metric.h"
#include "train/problems.h"
#include "train/task.h"

/* ---- problems ---- */

/* Problems of a built-in task, or of a file. */
typedef struct sv_eval_set {
    const char *name; /* "chain100", or the file */
    uint32_t n;
    const sv_task *task; /* NULL: a file */
    uint64_t task_seed;
    sv_problems *file;  /* NULL: a task */
    const char *system; /* file: a system message in front, or NULL */
    uint8_t hash[32];   /* of all problems' texts; of the file */
} sv_eval_set;

/* Held-out problems 0 ... n - 1 of a built-in task; n 0 or too large: all of them. */
void sv_eval_set_task(const sv_task *task, uint64_t seed, uint32_t n, sv_eval_set *out);
/* The first n problems (0: all) of a file. verifier NULL: each row names its own. system: a message in front, or NULL;
 * it must outlive the set. */
sv_err sv_eval_set_file(const char *path, const sv_verifier *verifier, uint64_t n, const char *system,
                        sv_eval_set *out);
void sv_eval_set_close(sv_eval_set *set);
/* The problem's text appended. */
void sv_eval_set_text(const sv_eval_set *set, uint32_t i, sv_bytes *out);
bool sv_eval_set_can_force(const sv_eval_set *set);
/* Prompt ids of problem i; forced: behind the start of a thought. */
sv_err sv_eval_set_prompt(const sv_eval_set *set, const sv_model *m, uint32_t i, bool forced, sv_ids *out);
/* What a decoded output, forced start included, is worth; appends its answer in normal form, if it has one. */
typedef struct sv_eval_verdict {
    sv_verdict strict, flexible;
    bool has_answer;
} sv_eval_verdict;
/* in_thought: the prompt ended inside a block of thought. */
sv_eval_verdict sv_eval_set_judge(const sv_eval_set *set, uint32_t i, sv_str output, bool ended, bool in_thought,
                                  sv_bytes *answer);
/* Prompt of a problem of a task by the model's chat template; forced: behind the first n_force bytes of the problem. */
sv_err sv_eval_prompt(const sv_model *m, const sv_task *task, sv_str problem, bool forced, sv_ids *out);

/* ---- answers ---- */

typedef struct sv_eval_opts {
    const char *chip;
    uint32_t n_thread, n_sample, max_tokens;
    sv_sampling sampling; /* of the samples: temperature, top-p ..., seed */
    bool only_forced;     /* the forced parts alone */
    bool only_sampled;    /* the samples alone */
    bool no_forced;       /* without the forced parts */
} sv_eval_opts;

typedef struct sv_eval_answer {
    sv_ids ids;
    sv_bytes text, answer; /* decoded with the forced start; the normal form */
    bool ended;
    sv_eval_verdict verdict;
} sv_eval_answer;

/* The greedy or the sampled answers of all problems: answer [n problems][n_sample]. */
typedef struct sv_eval_part {
    const char *name;
    bool forced, greedy;
    uint32_t n_sample;
    sv_eval_answer *answer; /* NULL: this part was not run */
} sv_eval_part;

typedef struct sv_eval_figure {
    char name[64];
    sv_interval at;
    bool has_interval, is_share; /* a share is printed in per cent */
} sv_eval_figure;

enum { SV_EVAL_GREEDY, SV_EVAL_SAMPLED, SV_EVAL_FORCED_GREEDY, SV_EVAL_FORCED, SV_EVAL_PARTS };
typedef struct sv_eval_result {
    const sv_eval_set *set;
    sv_eval_opts opts;
    sv_eval_part part[SV_EVAL_PARTS];
    sv_eval_figure *figure;
    uint32_t n_figure;
    uint64_t hash; /* of all ids in order of (part, problem, sample) */
    double seconds;
    char weights[65]; /* SHA-256, or "" */
    char adapter[65]; /* the same of the adapter, or "" */
} sv_eval_result;

/* Answers every problem, many sequences at once; what each gets does not depend on that. */
sv_err sv_eval_run(const sv_model *m, const sv_eval_set *set, const sv_eval_opts *o, sv_eval_result *out);
void sv_eval_done(sv_eval_result *r);

/* ---- figures ---- */

/* Fills figure: greedy, mean@n, pass@k, maj@k, truncated, malformed, mean_tokens, forced_..., blind
 * (docs/evaluation.md).
 */
void sv_eval_measure(sv_eval_result *r);
const sv_eval_figure *sv_eval_figure_of(const sv_eval_result *r, const char *name); /* NULL: there is no such figure */
/* {"mean@8": {"value": .., "low": .., "high": ..}, ...} */
json_t *sv_eval_figures(const sv_eval_result *r);
void sv_eval_print(const sv_eval_result *r, const char *model, bool json);
/* b against a, on the same problems and seeds. */
void sv_eval_print_pair(const sv_eval_result *a, const sv_eval_result *b, bool json);
/* Appends a JSON line per answer. model: its name. */
void sv_eval_write(const sv_eval_result *r, const char *model, sv_bytes *out);
/* A file of criteria, `mean@8: ">= 0.9"` a line, against the figures. SV_E_GATE names each that is missed. */
sv_err sv_eval_gate(const sv_eval_result *r, const char *path, bool json);

/* ---- of a run, in cli/train_eval.c ---- */

/* Evaluates the weights of now on n held-out problems of the recipe's task and logs the figures. The caller closes
 * both. */
sv_err sv_train_evaluate(sv_train *t, const sv_recipe *r, uint32_t n, bool only_sampled, sv_eval_set *set,
                         sv_eval_result *out);
/* The same with everything, printed. */
sv_err sv_train_evaluate_all(sv_train *t, const sv_recipe *r, uint32_t n, bool json);
/* The samples alone, when eval.every says so at this step. */
sv_err sv_train_evaluate_due(sv_train *t, const sv_recipe *r, bool json);

#endif
