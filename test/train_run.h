/* SPDX-License-Identifier: Apache-2.0
 * A small training run for tests: 50 steps of chain100 on a model of 17,000 weights, and ways to run it in a process
 * that may die.
 */
#ifndef SV_TEST_TRAIN_RUN_H
#define SV_TEST_TRAIN_RUN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "train/trainer.h"

static const char tiny_recipe[] =
    "seed: 7\n"
    "model:\n"
    "  new: {model_type: qwen3, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: "
    "1,\n"
    "        head_dim: 16, intermediate_size: 64, vocab_size: 25, max_position_embeddings: 128, rms_norm_eps: 1e-6,\n"
    "        rope_theta: 10000, tie_word_embeddings: true, attention_bias: false, hidden_act: silu, eos_token_id: 1,\n"
    "        pad_token_id: 0}\n"
    "data: {task: chain100}\n"
    "train: {steps: 50, batch_rows: 12, pack_tokens: 64}\n"
    "optim: {lr: 3e-3}\n"
    "schedule: {warmup: 5}\n"
    "ckpt: {every: 10}\n"
    "curve: {hash_every: 10}\n"
    "threads: 2\n";

#define MOST_SETS 12

/* sets: "key=value" words, space between. */
static inline sv_err tiny_open(const char *sets, sv_recipe **r, sv_train **t)
{
    char *text = strdup(sets), *save = NULL;
    const char *set[MOST_SETS];
    size_t n = 0;
    for (char *w = strtok_r(text, " ", &save); w != NULL && n < MOST_SETS; w = strtok_r(NULL, " ", &save))
        set[n++] = w;
    *t = NULL;
    *r = NULL;
    sv_err err = sv_recipe_parse(sv_str_of(tiny_recipe), "tiny.yaml", set, n, r);
    if (err == SV_OK)
        err = sv_train_open(*r, t);
    if (err != SV_OK) {
        sv_recipe_drop(*r);
        *r = NULL;
    }
    free(text);
    return err;
}

static inline void tiny_close(sv_recipe *r, sv_train *t)
{
    sv_train_close(t);
    sv_recipe_drop(r);
}

/* Runs to the end (or to `steps`); the hash of the weights, 0 after a failure, whose sentence is on stderr. */
static inline uint64_t tiny_hash(const char *sets, uint64_t steps)
{
    sv_recipe *r;
    sv_train *t;
    uint64_t hash = 0;
    sv_err err = tiny_open(sets, &r, &t);
    for (sv_train_report report; err == SV_OK && !sv_train_done(t) && sv_train_steps_made(t) < steps;)
        err = sv_train_step(t, &report);
    if (err == SV_OK)
        err = sv_train_hash(t, &hash);
    if (err != SV_OK)
        fprintf(stderr, "%s: %s\n", sets, sv_err_text());
    if (r != NULL)
        tiny_close(r, t);
    return err == SV_OK ? hash : 0;
}

/* The hash that the line `name` of test/golden/bits.txt has; 0: no such line. */
static inline uint64_t golden_bits(const char *name)
{
    FILE *f = fopen("test/golden/bits.txt", "r");
    char line[256], key[64];
    unsigned long long hash, found = 0;
    while (f != NULL && fgets(line, sizeof line, f))
        if (sscanf(line, "%63s %llx", key, &hash) == 2 && strcmp(key, name) == 0)
            found = hash;
    if (f != NULL)
        fclose(f);
    return found;
}

/* Runs in a child: its exit code, 128 + signal when it was killed. rules: faults, or NULL. */
static inline int tiny_child(const char *sets, const char *rules)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        sv_recipe *r;
        sv_train *t;
#ifdef SV_FAULTS
        sv_fault_set(rules);
#else
        (void)rules;
#endif
        sv_err err = tiny_open(sets, &r, &t);
        for (sv_train_report report; err == SV_OK && !sv_train_done(t);)
            err = sv_train_step(t, &report);
        if (err == SV_OK)
            tiny_close(r, t);
        _exit(err == SV_OK ? 0 : sv_err_exit_code(err));
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
