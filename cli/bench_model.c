/* SPDX-License-Identifier: Apache-2.0
 * samsvar bench MODEL: prefill and decode at given contexts and batches, through the engine that serves, each beside
 * the limit that the machine sets: products for a prefill, memory for a decode. Training steps: bench_train.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/bench.h"
#include "infer/kv.h"

#define MOST_SIZES 16
#define PREFILL 512        /* tokens of a prefill; llama-bench's pp512 */
#define DECODE 64          /* tokens that each sequence draws; llama-bench's tg64 */
#define MOST_FILLED 16384u /* tokens of context of all sequences together; larger loads are left out */
#define REPEATS 3          /* the median counts */

typedef struct sizes {
    uint32_t n, at[MOST_SIZES];
} sizes;

typedef struct bench_run {
    const sv_args *args;
    const sv_peaks *peaks;
    const sv_model *model;
    sv_engine *engine;
    double weight_bytes, key_bytes; /* read in a decode step: once; for each position of a sequence */
    double products;                /* of a token */
    bool is_int8;                   /* most of its products are exact integers */
} bench_run;

static sv_err parse_sizes(const sv_args *a, sv_flag flag, const char *name, uint32_t most, sizes *out)
{
    const char *at = sv_arg_text(a, flag);
    out->n = 0;
    while (*at != '\0') {
        char *end;
        errno = 0;
        unsigned long v = strtoul(at, &end, 10);
        if (end == at || errno != 0 || v > most || (*end != ',' && *end != '\0') || out->n == MOST_SIZES)
            return sv_fail(SV_E_ARG, "--%s takes up to %d numbers from 0 to %u with commas between, found '%s'", name,
                           MOST_SIZES, most, sv_arg_text(a, flag));
        out->at[out->n++] = (uint32_t)v;
        at = *end == ',' ? end + 1 : end;
    }
    return SV_OK;
}

/* What a decode step reads, and what a token multiplies. */
static void count_work(bench_run *b)
{
    const sv_model *m = b->model;
    double int8 = 0;
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++) {
        const sv_tensor *s = &m->shape[id];
        if (m->data[id] == NULL || s->n_dim == 0)
            continue;
        uint64_t n_col = s->dim[s->n_dim - 1];
        bool looked_up =
            !m->config.is_tied && (m->config.family->weight[id % m->config.family->n_weight].flags & SV_W_EMBED);
        if (looked_up) /* of a table that is not the output's, one row is read */
            continue;
        double items = (double)sv_tensor_items(s);
        b->weight_bytes += items / (double)n_col * (double)sv_dtype_row_bytes(s->dtype, n_col);
        b->products += s->n_dim > 1 ? items : 0;
        int8 += s->n_dim > 1 && sv_dtype_block_items(s->dtype) > 1 ? items : 0;
    }
    b->is_int8 = int8 > b->products / 2;
    b->key_bytes = 2.0 * m->config.n_layer * m->config.n_kv_head * m->config.d_head * sizeof(float);
}

static sv_err post(bench_run *b, uint32_t n_prompt, uint32_t n_out, uint32_t seed)
{
    uint32_t *prompt = sv_mem_new(n_prompt * sizeof *prompt);
    sv_ticket ticket;
    for (uint32_t i = 0; i < n_prompt; i++)
        prompt[i] = (7919u * i + 104729u * seed + 1) % b->model->config.n_vocab;
    sv_request r = {
        .prompt = prompt, .n_prompt = n_prompt, .max_tokens = n_out, .ignore_eos = true, .sampling = SV_SAMPLING_GREEDY
    };
    sv_err err = sv_engine_post(b->engine, &r, &ticket);
    sv_mem_free(prompt);
    return err;
}

/* Runs `batch` sequences. *first: seconds to the first token of the last of them; *tok_s: tokens a second from there
 * until the first of them ends, so that all draw. */
static sv_err run_load(bench_run *b, uint32_t batch, uint32_t n_prompt, uint32_t n_out, double *first, double *tok_s)
{
    double start = sv_clock_s(), at_first = start, now = start;
    uint32_t n_started = 0, n_token = 0;
    bool has = true, ended = false;
    sv_event e;
    for (uint32_t i = 0; i < batch; i++)
        SV_TRY(post(b, n_prompt, n_out, i));
    for (;;) {
        SV_TRY(sv_engine_next(b->engine, &e, &has));
        if (!has)
            break;
        now = sv_clock_s();
        if (e.kind == SV_EVENT_FINISH)
            ended = true;
        else if (e.kind == SV_EVENT_TOKEN && e.position == n_prompt) {
            at_first = now;
            n_started++;
        } else if (e.kind == SV_EVENT_TOKEN && !ended && n_started == batch) {
            n_token++;
            *tok_s = n_token / (now - at_first);
        }
    }
    *first = at_first - start;
    return SV_OK;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *x, uint32_t n)
{
    qsort(x, n, sizeof *x, by_size);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

void sv_bench_print(const sv_args *a, const sv_peaks *p, const sv_model *m, const char *kind, uint32_t tokens,
                    uint32_t context, uint32_t batch, double tok_s, double of_limit, const char *limit)
{
    sv_live_end();
    if (sv_arg_on(a, SV_FLAG_JSON))
        sv_out_json(json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:s}", "kind", kind, "model", m->path, "tokens",
                              (json_int_t)tokens, "context", (json_int_t)context, "batch", (json_int_t)batch, "threads",
                              (json_int_t)p->n_thread, "tok_s", tok_s, "of_limit", of_limit, "limit", limit));
    else
        sv_out("  %-8s %4u tokens at %5u, batch %2u  %8.1f tok/s, %.2f of the %s peak\n", kind, tokens, context, batch,
               tok_s, of_limit, limit);
    sv_out_flush();
}

static void print(const bench_run *b, const char *kind, uint32_t tokens, uint32_t context, uint32_t batch, double tok_s,
                  double of_limit, const char *limit)
{
    sv_bench_print(b->args, b->peaks, b->model, kind, tokens, context, batch, tok_s, of_limit, limit);
}

static sv_err prefill(bench_run *b, uint32_t context)
{
    double s[REPEATS] = { 0 }, all, before, unused;
    uint32_t repeats = context > 0 ? 1 : REPEATS;
    sv_live("prefill of %u at %u ...", PREFILL, context);
    for (uint32_t i = 0; i < repeats; i++) {
        before = 0;
        if (context > 0)
            SV_TRY(run_load(b, 1, context, 1, &before, &unused));
        SV_TRY(run_load(b, 1, context + PREFILL, 1, &all, &unused));
        s[i] = all - before;
    }
    double tok_s = PREFILL / median(s, repeats), peak = b->is_int8 ? b->peaks->int8 : b->peaks->fma;
    print(b, "prefill", PREFILL, context, 1, tok_s, 2 * b->products * tok_s / peak, b->is_int8 ? "int8" : "fma");
    return SV_OK;
}

static sv_err decode(bench_run *b, uint32_t context, uint32_t batch)
{
    double rate[REPEATS] = { 0 }, first;
    uint32_t n_prompt = context > 8 ? context : 8, repeats = context * batch > 2048 ? 1 : REPEATS;
    sv_live("decode at %u, batch %u ...", context, batch);
    for (uint32_t i = 0; i < repeats; i++)
        SV_TRY(run_load(b, batch, n_prompt, DECODE, &first, &rate[i]));
    double tok_s = median(rate, repeats);
    double step = b->weight_bytes + b->key_bytes * (n_prompt + DECODE / 2.0) * batch;
    print(b, "decode", DECODE, context, batch, tok_s, step * tok_s / batch / b->peaks->read, "read");
    return SV_OK;
}

static bool wanted(const sv_args *a, const char *kind)
{
    return !sv_arg_given(a, SV_FLAG_KIND) || strcmp(sv_arg_text(a, SV_FLAG_KIND), kind) == 0;
}

static sv_err run_all(bench_run *b, const sizes *context, const sizes *batch)
{
    for (uint32_t c = 0; c < context->n; c++) {
        if (context->at[c] + PREFILL + DECODE + 8 > sv_engine_ctx(b->engine))
            continue;
        if (wanted(b->args, "prefill"))
            SV_TRY(prefill(b, context->at[c]));
        for (uint32_t i = 0; wanted(b->args, "decode") && i < batch->n; i++)
            if (batch->at[i] == 1 || (uint64_t)context->at[c] * batch->at[i] <= MOST_FILLED)
                SV_TRY(decode(b, context->at[c], batch->at[i]));
    }
    return SV_OK;
}

/* Enough context and pages for the largest load. */
static sv_err open_engine(const sv_args *a, const sv_model *m, const sizes *context, const sizes *batch,
                          sv_engine **out)
{
    sv_engine_opts o = { .chip = sv_arg_text(a, SV_FLAG_CHIP), .max_running = 1, .n_ctx = 1 };
    o.machine.n_thread = (uint32_t)sv_arg_u64(a, SV_FLAG_THREADS);
    for (uint32_t c = 0; c < context->n; c++) {
        uint32_t need = context->at[c] + PREFILL + DECODE + 8;
        if (need <= m->config.n_ctx && need > o.n_ctx)
            o.n_ctx = need;
        for (uint32_t i = 0; i < batch->n; i++) {
            uint32_t n = batch->at[i], pages = sv_pages_for(context->at[c] + DECODE + 40) * n;
            if (n > o.max_running)
                o.max_running = n;
            if ((n == 1 || (uint64_t)context->at[c] * n <= MOST_FILLED) && pages > o.n_page)
                o.n_page = pages;
        }
    }
    if (o.n_ctx == 1)
        return sv_fail(SV_E_ARG, "%s: its context of %u is shorter than a prefill of %u; this bench needs a longer one",
                       m->path, m->config.n_ctx, PREFILL + DECODE + 8);
    if (o.n_page < sv_pages_for(o.n_ctx) + 2)
        o.n_page = sv_pages_for(o.n_ctx) + 2;
    return sv_engine_open(m, &o, out);
}

static void print_start(const bench_run *b, double seconds)
{
    if (sv_arg_on(b->args, SV_FLAG_JSON))
        sv_out_json(json_pack("{s:s, s:s, s:f, s:f}", "kind", "start", "model", b->model->path, "weight_bytes",
                              b->weight_bytes, "first_token_s", seconds));
    else
        sv_out("%s, %s of weights; start to first token of a prompt of 8: %.2f s\n", b->model->path,
               sv_bytes_words(b->weight_bytes), seconds);
}

sv_err sv_bench_model(const sv_args *a, const sv_peaks *p)
{
    bench_run b = { .args = a, .peaks = p };
    sizes context, batch;
    sv_model *m;
    double start = sv_clock_s(), first, unused;
    if (!wanted(a, "prefill") && !wanted(a, "decode") && !wanted(a, "train"))
        return sv_fail(SV_E_ARG, "--kind takes prefill, decode or train, found '%s'", sv_arg_text(a, SV_FLAG_KIND));
    SV_TRY(parse_sizes(a, SV_FLAG_CONTEXT, "context", 1u << 20, &context));
    SV_TRY(parse_sizes(a, SV_FLAG_BATCH, "batch", 256, &batch));
    SV_TRY(sv_open_model(a, a->word[0], &m));
    b.model = m;
    count_work(&b);
    bool asked = sv_arg_given(a, SV_FLAG_KIND) && wanted(a, "train"), serves = !asked;
    sv_err err = serves ? open_engine(a, m, &context, &batch, &b.engine) : SV_OK;
    if (serves && err == SV_OK) {
        err = run_load(&b, 1, 8, 1, &first, &unused);
        if (err == SV_OK)
            print_start(&b, sv_clock_s() - start);
        if (err == SV_OK)
            err = run_all(&b, &context, &batch);
        sv_live_end();
        sv_engine_close(b.engine);
    }
    if (err == SV_OK && wanted(a, "train"))
        err = sv_bench_train(a, p, m, b.products, asked);
    sv_model_close(m);
    return err;
}
