/* SPDX-License-Identifier: Apache-2.0
 * How far models are from a reference model on real text: mean KL divergence of the next token's distribution, and how
 * often the likeliest token is the same. All models must share one tokenizer.
 *
 *     build/bench/divergence [--chip cpu] [--threads 2] REFERENCE MODEL ... -- TEXT.txt ...
 *
 * Windows of 256 tokens, each on its own; every position counts. KL(reference || model) = sum p (log p - log q), in
 * nats, in binary64 over the whole vocabulary. One JSON line per model.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/runner.h"

#define WINDOW 256u
#define MOST_MODELS 16

typedef struct subject {
    const char *path;
    sv_model *m;
    sv_runner *r;
    double kl, worst, nll;
    uint64_t same, n, n_next;
} subject;

static void need(sv_err e, const char *what)
{
    if (e == SV_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, sv_err_text());
    exit(1);
}

/* Fills logits [n, V]. */
static void run_window(subject *s, const uint32_t *id, uint32_t n, float *logits)
{
    int32_t tok[WINDOW], pos[WINDOW], seq[WINDOW] = { 0 }, table[WINDOW / SV_PAGE];
    for (uint32_t t = 0; t < n; t++) {
        tok[t] = (int32_t)id[t];
        pos[t] = (int32_t)t;
    }
    for (uint32_t p = 0; p < WINDOW / SV_PAGE; p++)
        table[p] = (int32_t)p;
    sv_step step = { .shape = { n, 1, WINDOW / SV_PAGE, n, 0 }, .tok = tok, .pos = pos, .seq = seq, .table = table };
    step.want = pos;
    need(sv_runner_step(s->r, &step, logits, NULL), s->path);
}

static uint32_t likeliest(const float *z, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        best = z[i] > z[best] ? i : best;
    return best;
}

static double log_total(const float *z, uint32_t n, double most)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += exp((double)z[i] - most);
    return most + log(sum);
}

/* One position; next: the token that follows in the text, or UINT32_MAX. */
static void compare(subject *s, const float *p, const float *q, uint32_t n, uint32_t next)
{
    uint32_t a = likeliest(p, n), b = likeliest(q, n);
    double lp = log_total(p, n, (double)p[a]), lq = log_total(q, n, (double)q[b]), kl = 0;
    for (uint32_t i = 0; i < n; i++) {
        double log_p = (double)p[i] - lp;
        kl += exp(log_p) * (log_p - ((double)q[i] - lq));
    }
    s->kl += kl;
    s->worst = kl > s->worst ? kl : s->worst;
    s->same += a == b;
    s->n++;
    if (next != UINT32_MAX) {
        s->nll -= (double)q[next] - lq;
        s->n_next++;
    }
}

/* p, q: room for logits [WINDOW, V] each. */
static void run_text(const char *path, subject *s, uint32_t n_model, float *p, float *q)
{
    sv_arena *a = sv_arena_make();
    sv_str text;
    sv_ids ids = { 0 };
    uint32_t V = s[0].m->config.n_vocab;
    need(sv_file_read(path, (size_t)16 << 20, a, &text), path);
    need(sv_tokenizer_encode_plain(s[0].m->tokenizer, text, false, &ids), path);
    for (size_t at = 0; at < ids.n; at += WINDOW) {
        uint32_t n = (uint32_t)(ids.n - at < WINDOW ? ids.n - at : WINDOW);
        for (uint32_t i = 0; i < n_model; i++) {
            float *z = i == 0 ? p : q;
            run_window(&s[i], ids.id + at, n, z);
            for (uint32_t t = 0; t < n; t++)
                compare(&s[i], p + (size_t)t * V, z + (size_t)t * V, V, t + 1 < n ? ids.id[at + t + 1] : UINT32_MAX);
        }
    }
    sv_ids_done(&ids);
    sv_arena_drop(a);
}

static void open_subject(subject *s, const char *path, const char *chip, uint32_t n_thread)
{
    sv_runner_opts o = { .chip = chip, .machine = { .n_thread = n_thread }, .n_ctx = WINDOW };
    s->path = path;
    need(sv_model_open(path, NULL, &s->m), path);
    need(sv_model_need_tokenizer(s->m), path);
    need(sv_runner_open(s->m, &o, &s->r), path);
}

int main(int argc, char **argv)
{
    static subject s[MOST_MODELS];
    const char *chip = "cpu";
    uint32_t n = 0, n_thread = 0;
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--chip") == 0 && i + 1 < argc)
            chip = argv[++i];
        else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            n_thread = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (n < MOST_MODELS)
            open_subject(&s[n++], argv[i], chip, n_thread);
    }
    if (n < 2 || i + 1 >= argc) {
        fprintf(stderr, "usage: divergence [--chip CHIP] [--threads N] REFERENCE MODEL ... -- TEXT ...\n");
        return 2;
    }
    float *p = sv_mem_new(2 * (size_t)WINDOW * s[0].m->config.n_vocab * sizeof *p);
    for (i++; i < argc; i++)
        run_text(argv[i], s, n, p, p + (size_t)WINDOW * s[0].m->config.n_vocab);
    sv_mem_free(p);
    for (uint32_t k = 0; k < n; k++) {
        printf("{\"model\":\"%s\",\"tokens\":%llu,\"mean_kl\":%.6g,\"largest_kl\":%.4g,\"top1\":%.5f,\"perplexity\":%."
               "4f}\n",
               s[k].path, (unsigned long long)s[k].n, s[k].kl / (double)s[k].n, s[k].worst,
               (double)s[k].same / (double)s[k].n, exp(s[k].nll / (double)s[k].n_next));
        sv_runner_close(s[k].r);
        sv_model_close(s[k].m);
    }
    return 0;
}
