/* SPDX-License-Identifier: Apache-2.0
 * samsvar verify: one prompt on several chips, a hash of every result of every call; equal, or the first that differs.
 */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/cmd.h"
#include "num/bits.h"
#include "op/spec.h"

#define DEFAULT_PROMPT "2*3*7+1+1+8:"
#define DEFAULT_DECODE 16u

typedef struct result_row {
    uint64_t hash;
    uint32_t step, call, output, layer;
    sv_op op;
} result_row;

/* One chip's run: its rows, or the bytes of one row that is wanted. */
typedef struct traced {
    result_row *row;
    size_t n, cap;
    uint32_t step;
    size_t keep; /* row to keep the bytes of; SIZE_MAX: none */
    void *data;
    uint64_t bytes;
    sv_tensor shape;
    char label[128];
} traced;

static void trace(void *ctx, const sv_trace_row *r)
{
    traced *t = ctx;
    result_row row = {
        .hash = r->hash, .step = t->step, .call = r->call, .output = r->output, .layer = r->layer, .op = r->op
    };
    if (t->n == t->keep) {
        t->data = sv_mem_new(r->bytes + 4);
        memcpy(t->data, r->data, r->bytes);
        t->bytes = r->bytes;
        t->shape = *r->shape;
        strncpy(t->label, r->label ? r->label : "", sizeof t->label - 1);
    }
    SV_PUSH(t->row, t->n, t->cap, row);
}

static void traced_done(traced *t)
{
    sv_mem_free(t->row);
    sv_mem_free(t->data);
    *t = (traced){ .keep = SIZE_MAX };
}

static uint32_t largest(const float *z, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (z[i] > z[best])
            best = i;
    return best;
}

/* The prompt in one step, then a token a step, always the largest logit. Pages are +0 at first: they are traced too. */
static sv_err run_steps(sv_runner *r, const sv_verify_opts *o, traced *t, uint32_t *ids)
{
    const sv_config *c = &sv_runner_model(r)->config;
    uint32_t n_page = sv_runner_pages(r), n_tok = o->n_prompt, pos = 0;
    sv_arena *a = sv_arena_make();
    int32_t *tok = SV_NEW_N(a, int32_t, n_tok), *at = SV_NEW_N(a, int32_t, n_tok), *seq = SV_NEW_N(a, int32_t, n_tok);
    int32_t *table = SV_NEW_N(a, int32_t, n_page);
    float *z = SV_NEW_N(a, float, c->n_vocab);
    sv_err err = SV_OK;
    for (uint32_t i = 0; i < n_page; i++)
        table[i] = (int32_t)i;
    for (uint32_t i = 0; err == SV_OK && i < 2 * c->n_layer; i++)
        err = sv_store_clear(sv_runner_store(r), SV_KIND_KV, i);
    for (uint32_t i = 0; i < n_tok; i++)
        tok[i] = (int32_t)o->prompt[i];
    for (t->step = 0; err == SV_OK && t->step <= o->n_decode; t->step++) {
        int32_t want = (int32_t)n_tok - 1;
        for (uint32_t i = 0; i < n_tok; i++)
            at[i] = (int32_t)(pos + i);
        sv_step step = {
            .shape = { n_tok, 1, n_page, 1, 0 }, .tok = tok, .pos = at, .seq = seq, .table = table, .want = &want
        };
        err = sv_runner_step(r, &step, z, NULL);
        pos += n_tok;
        n_tok = 1;
        ids[t->step] = largest(z, c->n_vocab);
        tok[0] = (int32_t)ids[t->step];
    }
    sv_arena_drop(a);
    return err;
}

static sv_err run_chip(const sv_model *m, const char *spec, const sv_verify_opts *o, traced *t, uint32_t *ids)
{
    sv_runner *r;
    sv_runner_opts opts = { .chip = spec, .n_ctx = o->n_prompt + o->n_decode + 1 };
    opts.machine.n_thread = o->n_thread;
    opts.machine.strict_chip = o->strict;
    if (opts.n_ctx > m->config.n_ctx)
        return sv_fail(SV_E_ARG, "the prompt and %u tokens need a context of %u; %s has %u", o->n_decode, opts.n_ctx,
                       m->path, m->config.n_ctx);
    SV_TRY(sv_runner_open(m, &opts, &r));
    sv_runner_set_trace(r, trace, t);
    sv_err err = run_steps(r, o, t, ids);
    sv_runner_close(r);
    return err;
}

static uint64_t hash_all(const traced *t, const uint32_t *ids, uint32_t n_id)
{
    uint64_t h = SV_FNV_START;
    for (size_t i = 0; i < t->n; i++) {
        h = sv_fnv_word(h, (uint32_t)t->row[i].hash);
        h = sv_fnv_word(h, (uint32_t)(t->row[i].hash >> 32));
    }
    for (uint32_t i = 0; i < n_id; i++)
        h = sv_fnv_word(h, ids[i]);
    return h;
}

/* First word that differs; the number of words when none does. */
static uint64_t first_word(const traced *a, const traced *b)
{
    uint64_t n = (a->bytes < b->bytes ? a->bytes : b->bytes) / 4;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t x, y;
        memcpy(&x, (const char *)a->data + 4 * i, 4);
        memcpy(&y, (const char *)b->data + 4 * i, 4);
        if (sv_bits_canonical(x) != sv_bits_canonical(y))
            return i;
    }
    return n;
}

static void index_words(const sv_tensor *shape, uint64_t item, sv_bytes *out)
{
    uint64_t size = sv_tensor_items(shape);
    sv_bytes_text(out, "[");
    for (uint32_t d = 0; d < shape->n_dim; d++) {
        size = shape->dim[d] ? size / shape->dim[d] : 1;
        sv_bytes_printf(out, "%s%llu", d ? "," : "", (unsigned long long)(size ? item / size : 0));
        item = size ? item % size : 0;
    }
    sv_bytes_text(out, "]");
}

/* Runs both chips again and keeps the bytes of the row that differs. */
static sv_err explain(const sv_model *m, const char *const spec[2], const sv_verify_opts *o, const result_row *row,
                      size_t index)
{
    traced t[2] = { { .keep = index }, { .keep = index } };
    uint32_t *ids = sv_mem_new((o->n_decode + 1) * sizeof *ids);
    sv_err err = SV_OK;
    for (int k = 0; err == SV_OK && k < 2; k++)
        err = run_chip(m, spec[k], o, &t[k], ids);
    if (err == SV_OK && t[0].data != NULL && t[1].data != NULL) {
        uint64_t i = first_word(&t[0], &t[1]);
        uint32_t bits[2] = { 0, 0 };
        sv_bytes at = { 0 }, shape = { 0 };
        for (int k = 0; k < 2 && 4 * i + 4 <= t[k].bytes; k++)
            memcpy(&bits[k], (const char *)t[k].data + 4 * i, 4);
        for (uint32_t d = 0; d < t[0].shape.n_dim; d++)
            sv_bytes_printf(&shape, "%s%u", d ? "," : "", t[0].shape.dim[d]);
        index_words(&t[0].shape, i, &at);
        sv_bytes layer = { 0 };
        if (row->layer != UINT32_MAX)
            sv_bytes_printf(&layer, "%u", row->layer);
        err =
            sv_fail(SV_E_BITS,
                    "first difference: step %u, call %u, layer %s, op %s, label %s, output %u of shape [%s], index %s\n"
                    "%s has %08x (%.9g), %s has %08x (%.9g)",
                    row->step, row->call, layer.p ? layer.p : "-", sv_opspecs[row->op]->name,
                    t[0].label[0] ? t[0].label : "-", row->output, shape.p ? shape.p : "", at.p, spec[0], bits[0],
                    (double)sv_bits_f32(bits[0]), spec[1], bits[1], (double)sv_bits_f32(bits[1]));
        sv_bytes_done(&at);
        sv_bytes_done(&shape);
        sv_bytes_done(&layer);
    } else if (err == SV_OK) {
        err = sv_fail(SV_E_BITS, "%s and %s differ in step %u, call %u, but not when run again", spec[0], spec[1],
                      row->step, row->call);
    }
    traced_done(&t[0]);
    traced_done(&t[1]);
    sv_mem_free(ids);
    return err;
}

static sv_err compare(const sv_model *m, const char *const spec[2], const sv_verify_opts *o, const traced *first,
                      const traced *t)
{
    size_t n = first->n < t->n ? first->n : t->n;
    for (size_t i = 0; i < n; i++)
        if (first->row[i].hash != t->row[i].hash)
            return explain(m, spec, o, &t->row[i], i);
    if (first->n != t->n)
        return sv_fail(SV_E_BITS, "%s made %zu results, %s %zu", spec[0], first->n, spec[1], t->n);
    return SV_OK;
}

static void print_chip(const char *spec, uint64_t hash, const traced *t, double s, bool json)
{
    const char *text = sv_hash_words(hash);
    if (json)
        sv_out_json(json_pack("{s:s, s:s, s:s, s:I, s:f}", "event", "chip", "chip", spec, "hash", text, "results",
                              (json_int_t)t->n, "seconds", s));
    else
        sv_out("  %-16s %s   %zu results, %.1f s\n", spec, text, t->n, s);
    sv_out_flush();
}

static sv_err verify_on(const sv_model *m, const sv_verify_opts *o, const char *const *spec, uint32_t n_spec)
{
    traced first = { .keep = SIZE_MAX }, t = { .keep = SIZE_MAX };
    uint32_t *ids = sv_mem_new(2 * (o->n_decode + 1) * sizeof *ids), *ids_first = ids + o->n_decode + 1;
    sv_err err = SV_OK, differs = SV_OK;
    for (uint32_t k = 0; err == SV_OK && k < n_spec; k++) {
        traced *now = k ? &t : &first;
        uint32_t *now_ids = k ? ids : ids_first;
        double start = sv_clock_s();
        sv_live("verify: %s ...", spec[k]);
        err = run_chip(m, spec[k], o, now, now_ids);
        if (err != SV_OK)
            break;
        print_chip(spec[k], hash_all(now, now_ids, o->n_decode + 1), now, sv_clock_s() - start, o->json);
        if (k > 0)
            differs = err = compare(m, (const char *const[]){ spec[0], spec[k] }, o, &first, &t);
        traced_done(&t);
    }
    sv_live_end();
    if (err == SV_OK && o->json)
        sv_out_json(json_pack("{s:s, s:b, s:I, s:I, s:I}", "event", "verdict", "identical", 1, "chips",
                              (json_int_t)n_spec, "results", (json_int_t)first.n, "tokens",
                              (json_int_t)(o->n_prompt + o->n_decode)));
    else if (err == SV_OK)
        sv_out("  IDENTICAL: %u chips, %zu results each, %u tokens\n", n_spec, first.n, o->n_prompt + o->n_decode);
    else if (differs != SV_OK && o->json)
        sv_out_json(json_pack("{s:s, s:b, s:s}", "event", "verdict", "identical", 0, "first", sv_err_text()));
    else if (differs != SV_OK)
        sv_out("  DIFFERENT\n");
    traced_done(&first);
    sv_mem_free(ids);
    return err;
}

uint32_t sv_verify_chips(sv_arena *arena, const char *spec[16])
{
    static const char *const variant[] = { "cpu:scalar", "cpu:avx2", "cpu:avx512", "cpu:neon" };
    const sv_chip_entry *entry;
    size_t n_entry;
    uint32_t n = 0;
    sv_chip_dev dev;
    for (size_t i = 0; i < sizeof variant / sizeof *variant; i++)
        if (sv_chip_open(variant[i], NULL, &dev) == SV_OK) {
            sv_chip_close(&dev);
            spec[n++] = variant[i];
        }
    spec[n++] = "ref";
    if (sv_chips_list(&entry, &n_entry) != SV_OK)
        return n;
    for (size_t i = 0; i < n_entry && n < 16; i++) {
        const char *name = entry[i].name;
        bool own = strcmp(name, "cpu") == 0 || strcmp(name, "ref") == 0 || strcmp(name, "null") == 0 ||
                   strcmp(name, "odd") == 0;
        if (own || entry[i].n_device == 0 || sv_chip_open(name, NULL, &dev) != SV_OK)
            continue;
        if (dev.info.is_exact)
            spec[n++] = sv_arena_text(arena, name);
        sv_chip_close(&dev);
    }
    return n;
}

sv_err sv_verify_model(const sv_model *m, const sv_verify_opts *o)
{
    const char *spec[16];
    sv_arena *arena = sv_arena_make();
    uint32_t n = o->n_chip;
    sv_err err;
    if (n == 0) {
        n = sv_verify_chips(arena, spec);
        err = verify_on(m, o, spec, n);
    } else {
        err = verify_on(m, o, o->chip, n);
    }
    sv_arena_drop(arena);
    return err;
}

/* The given text; else one that every family's tokenizer takes; else numbers. */
static sv_err prompt_of(const sv_args *a, const sv_model *m, sv_ids *ids)
{
    const char *text = sv_arg_given(a, SV_FLAG_PROMPT) ? sv_arg_text(a, SV_FLAG_PROMPT) : DEFAULT_PROMPT;
    if (m->tokenizer != NULL || sv_arg_given(a, SV_FLAG_PROMPT))
        return sv_user_ids(m, sv_str_of(text), sv_arg_on(a, SV_FLAG_RAW), ids);
    for (uint32_t i = 0; i < 24; i++)
        SV_PUSH(ids->id, ids->n, ids->cap, (7919u * i + 1) % m->config.n_vocab);
    return SV_OK;
}

sv_err sv_cmd_verify(const sv_args *a)
{
    sv_model *m;
    sv_ids ids = { 0 };
    if (a->flag[SV_FLAG_CHIP].n == 1)
        return sv_fail(
            SV_E_ARG, "one chip has nothing to be compared with; give --chip twice, or not at all for every chip here");
    SV_TRY(sv_open_model(a, a->word[0], &m));
    sv_err err = prompt_of(a, m, &ids);
    if (err == SV_OK) {
        sv_verify_opts o = { .chip = a->flag[SV_FLAG_CHIP].value,
                             .n_chip = a->flag[SV_FLAG_CHIP].n,
                             .prompt = ids.id,
                             .n_prompt = (uint32_t)ids.n,
                             .n_thread = (uint32_t)sv_arg_u64(a, SV_FLAG_THREADS),
                             .strict = sv_arg_on(a, SV_FLAG_STRICT),
                             .json = sv_arg_on(a, SV_FLAG_JSON) };
        o.n_decode = sv_arg_given(a, SV_FLAG_MAX_TOKENS) ? (uint32_t)sv_arg_u64(a, SV_FLAG_MAX_TOKENS) : DEFAULT_DECODE;
        err = sv_verify_model(m, &o);
    }
    sv_ids_done(&ids);
    sv_model_close(m);
    return err;
}
