/* SPDX-License-Identifier: Apache-2.0
 * samsvar chip: which chips there are, what they are, whether they keep the law, how fast they are.
 */
#include <string.h>

#include "base/clock.h"
#include "chip/conform.h"
#include "cli/cmd.h"
#include "num/bits.h"
#include "op/spec.h"
#include "train/trainer.h"

static json_t *entry_json(const sv_chip_entry *e)
{
    json_t *o = json_pack("{s:s, s:s, s:I}", "name", e->name, "path", e->path, "devices", (json_int_t)e->n_device);
    if (e->chip != NULL && e->chip->version != NULL)
        json_object_set_new(o, "version", json_string(e->chip->version));
    if (e->why != NULL)
        json_object_set_new(o, "why_not", json_string(e->why));
    return o;
}

static sv_err list(bool json)
{
    const sv_chip_entry *e;
    size_t n;
    SV_TRY(sv_chips_list(&e, &n));
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++) {
        if (json)
            json_array_append_new(all, entry_json(&e[i]));
        else
            sv_out("%-10s %-28s %u device%s  %s%s\n", e[i].name,
                   e[i].chip && e[i].chip->version ? e[i].chip->version : "-", e[i].n_device,
                   e[i].n_device == 1 ? " " : "s", e[i].path[0] ? e[i].path : "(built in)", e[i].why ? "" : "");
        if (!json && e[i].why != NULL)
            sv_out("           not usable: %s\n", e[i].why);
    }
    if (json)
        sv_out_json_pretty(json_pack("{s:i, s:O}", "v", 1, "chips", all));
    json_decref(all);
    return SV_OK;
}

static uint32_t native_rows(const sv_chip *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_op && i < SV_OP_COUNT; i++)
        n += c->op != NULL && c->op[i].run != NULL;
    return n;
}

static sv_err open_chip(const sv_args *a, sv_chip_dev *dev)
{
    sv_chip_opts opts = { .n_thread = (uint32_t)sv_arg_u64(a, SV_FLAG_THREADS) };
    return sv_chip_open(a->n_word > 1 ? a->word[1] : NULL, &opts, dev);
}

static sv_err info(const sv_args *a)
{
    sv_chip_dev d;
    SV_TRY(open_chip(a, &d));
    sv_bytes missing = { 0 };
    for (uint32_t i = 0; i < SV_OP_COUNT; i++)
        if (i >= d.chip->n_op || d.chip->op == NULL || d.chip->op[i].run == NULL)
            sv_bytes_printf(&missing, " %s", sv_opspecs[i]->name);
    if (sv_arg_on(a, SV_FLAG_JSON))
        sv_out_json_pretty(json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:b, s:I, s:I, s:s}", "v", 1, "spec",
                                     d.spec, "device", d.info.name, "variant", d.info.variant, "version",
                                     d.chip->version, "threads", (json_int_t)d.info.n_thread, "memory_bytes",
                                     (json_int_t)d.info.mem_bytes, "exact", d.info.is_exact, "host_memory",
                                     d.info.host_memory, "ops", (json_int_t)SV_OP_COUNT, "native",
                                     (json_int_t)native_rows(d.chip), "not_native", missing.p ? missing.p + 1 : ""));
    else
        sv_out("%s: %s\n  version %s, variant %s, threads %u, memory %s, %s\n  %u of %u ops native%s%s\n", d.spec,
               d.info.name, d.chip->version, d.info.variant[0] ? d.info.variant : "-", d.info.n_thread,
               d.info.mem_bytes ? sv_bytes_words((double)d.info.mem_bytes) : "unknown",
               d.info.is_exact ? "exact" : "not exact", native_rows(d.chip), SV_OP_COUNT,
               missing.n ? "; the reference runs:" : "", missing.p ? missing.p : "");
    sv_bytes_done(&missing);
    sv_chip_close(&d);
    return SV_OK;
}

/* ---- test: conformance, then a tiny model end to end ---- */

static const char tiny[] =
    "seed: 7\n"
    "model:\n  new:\n    model_type: qwen3\n    hidden_size: 64\n    num_hidden_layers: 2\n    num_attention_heads: 4\n"
    "    num_key_value_heads: 2\n    head_dim: 16\n    intermediate_size: 96\n    vocab_size: 25\n"
    "    max_position_embeddings: 128\n    rms_norm_eps: 1e-6\n    rope_theta: 10000\n    tie_word_embeddings: true\n"
    "    attention_bias: false\n    hidden_act: silu\n    eos_token_id: 1\n    pad_token_id: 0\n"
    "data:\n  task: chain100\ntrain:\n  steps: 2\n  batch_rows: 4\n  pack_tokens: 128\nschedule:\n  warmup: 0\n";

typedef struct end_to_end {
    uint64_t weights, ids;
    float loss;
} end_to_end;

static sv_err draw_ids(const sv_model *m, const char *chip, uint64_t *hash)
{
    sv_engine *e;
    sv_ticket ticket;
    sv_event ev;
    bool has = true;
    const uint32_t prompt[] = { 8, 16, 9, 22, 2 };
    sv_engine_opts opts = { .chip = chip, .n_ctx = 64 };
    sv_request r = { .prompt = prompt,
                     .n_prompt = 5,
                     .max_tokens = 32,
                     .sampling = SV_SAMPLING_GREEDY,
                     .ignore_eos = true,
                     .want_logprob = true };
    r.sampling.temperature = 1;
    r.sampling.seed = 7;
    *hash = SV_FNV_START;
    SV_TRY(sv_engine_open(m, &opts, &e));
    sv_err err = sv_engine_post(e, &r, &ticket);
    while (err == SV_OK && has) {
        err = sv_engine_next(e, &ev, &has);
        if (err == SV_OK && has && ev.kind == SV_EVENT_TOKEN)
            *hash = sv_fnv_word(sv_fnv_word(*hash, ev.id), sv_bits_u32(ev.logprob));
        if (err == SV_OK && has && ev.kind == SV_EVENT_FINISH)
            break;
    }
    sv_engine_close(e);
    return err;
}

static sv_err train_tiny(const char *chip, end_to_end *out)
{
    sv_recipe *r;
    sv_train *t = NULL;
    const sv_model *m;
    sv_train_report report;
    sv_bytes set = { 0 };
    sv_bytes_printf(&set, "chip=%s", chip);
    sv_err err = sv_recipe_parse(sv_str_of(tiny), "chip test", (const char *const[]){ set.p }, 1, &r);
    sv_bytes_done(&set);
    SV_TRY(err);
    err = sv_train_open(r, &t);
    if (err == SV_OK)
        err = sv_train_step(t, &report);
    if (err == SV_OK) {
        out->loss = report.loss;
        err = sv_train_hash(t, &out->weights);
    }
    if (err == SV_OK)
        err = sv_train_model(t, &m);
    if (err == SV_OK)
        err = draw_ids(m, chip, &out->ids);
    sv_train_close(t);
    sv_recipe_drop(r);
    return err;
}

static sv_err test_end_to_end(const char *spec, bool json)
{
    end_to_end ref, chip;
    SV_TRY(train_tiny("ref", &ref));
    SV_TRY(train_tiny(spec, &chip));
    bool same = ref.weights == chip.weights && ref.ids == chip.ids && sv_bits_same(ref.loss, chip.loss);
    if (json)
        sv_out_json(json_pack("{s:s, s:b, s:s, s:s}", "event", "end_to_end", "same", same, "weights",
                              sv_hash_words(chip.weights), "ids", sv_hash_words(chip.ids)));
    else
        sv_out("%s end to end: a training step and 32 tokens of a tiny model, weights %s, answers %s\n",
               same ? "ok  " : "FAIL", sv_hash_words(chip.weights), sv_hash_words(chip.ids));
    if (!same)
        return sv_fail(SV_E_BITS, "%s: a tiny model differs from ref: weights %s, ref %s; answers %s, ref %s", spec,
                       sv_hash_words(chip.weights), sv_hash_words(ref.weights), sv_hash_words(chip.ids),
                       sv_hash_words(ref.ids));
    return SV_OK;
}

static void report(void *ctx, const char *line)
{
    const bool *json = ctx;
    if (*json)
        sv_out_json(json_pack("{s:s, s:s}", "event", "group", "line", line));
    else
        sv_out("%s\n", line);
    sv_out_flush();
}

static sv_err test(const sv_args *a)
{
    sv_chip_dev d;
    sv_conform_result r = { 0 };
    bool json = sv_arg_on(a, SV_FLAG_JSON);
    sv_conform_opts o = { .only_case = UINT32_MAX,
                          .seed = sv_arg_u64(a, SV_FLAG_SEED),
                          .quick = sv_arg_on(a, SV_FLAG_QUICK),
                          .max_fail = 20,
                          .report = report,
                          .ctx = &json };
    if (sv_arg_given(a, SV_FLAG_OP))
        o.op = sv_arg_text(a, SV_FLAG_OP);
    if (sv_arg_given(a, SV_FLAG_CASE))
        o.only_case = (uint32_t)sv_arg_u64(a, SV_FLAG_CASE);
    double start = sv_clock_s();
    SV_TRY(open_chip(a, &d));
    char spec[64];
    bool is_exact = d.info.is_exact;
    memcpy(spec, d.spec, sizeof spec);
    sv_note("%s: %s", d.spec, d.info.name);
    sv_err err = sv_conform_run(&d, &o, &r);
    sv_chip_close(&d);
    SV_TRY(err);
    if (json)
        sv_out_json(json_pack("{s:s, s:s, s:I, s:I, s:I, s:s}", "event", "conformance", "chip", spec, "cases",
                              (json_int_t)r.n_case, "failed", (json_int_t)r.n_fail, "native", (json_int_t)r.n_native,
                              "first", r.first_failure));
    else
        sv_out("%s: %llu cases, %llu failed, %llu native, %.1f s\n", spec, (unsigned long long)r.n_case,
               (unsigned long long)r.n_fail, (unsigned long long)r.n_native, sv_clock_s() - start);
    if (r.n_fail > 0)
        return sv_fail(SV_E_BITS, "%s differs from the reference: %s", spec, r.first_failure);
    return o.op == NULL && is_exact ? test_end_to_end(spec, json) : SV_OK;
}

sv_err sv_cmd_chip(const sv_args *a)
{
    static const char *const words[] = { "list", "info", "test", "bench" };
    const char *w = a->word[0];
    if (strcmp(w, "list") == 0)
        return list(sv_arg_on(a, SV_FLAG_JSON));
    if (strcmp(w, "info") == 0)
        return info(a);
    if (strcmp(w, "bench") == 0)
        return sv_chip_bench(a);
    if (strcmp(w, "test") != 0)
        return sv_fail_word("chip has no", w, words, 4);
    if (a->n_word < 2)
        return sv_fail(SV_E_ARG, "which chip? samsvar chip test NAME; 'samsvar chip list' names them");
    return test(a);
}
