/* SPDX-License-Identifier: Apache-2.0
 * The conformance suite: runs every op's cases on a chip and by the reference, and compares every byte. All operands of
 * a call lie in one buffer between guards of NaN, outputs start as NaN, and what is no output must come back untouched.
 */
#include "chip/conform.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "chip/conform_suite.h"
#include "num/dtype.h"

#define MAX_IN 8
#define MAX_OUT 4
#define GUARD 64
#define POISON 0x7fffu /* both halves of a word: NaN as f32, bf16 and f16 */

/* A call laid out in the arena. */
typedef struct layout {
    sv_tensor in[MAX_IN], out[MAX_OUT];
    uint32_t n_in, n_out;
    uint64_t in_bytes[MAX_IN], out_bytes[MAX_OUT];
    uint64_t total;
} layout;

/* Reports. */

void sv_suite_say(sv_suite *s, const char *fmt, ...)
{
    char line[768];
    va_list ap;
    if (s->opts->report == NULL)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    s->opts->report(s->opts->ctx, line);
}

static void count_failure(sv_suite *s, const char *line)
{
    if (s->result->n_fail++ == 0)
        snprintf(s->result->first_failure, sizeof s->result->first_failure, "%.511s", line);
    if (s->opts->report != NULL)
        s->opts->report(s->opts->ctx, line);
}

void sv_suite_fail(sv_suite *s, const char *repeat, const char *fmt, ...)
{
    char text[512], line[768];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    snprintf(line, sizeof line, "FAIL %s: %s; repeat: samsvar chip test %s --op %s --seed %llu", repeat, text,
             s->dev->spec, repeat, (unsigned long long)s->opts->seed);
    count_failure(s, line);
}

/* "chip 3f800001, law 3f800000" for the unit of t at byte `at`, and its index. */
static void describe(char *out, size_t cap, const sv_tensor *t, uint64_t at, const uint8_t *chip, const uint8_t *law)
{
    uint64_t n = t->image == SV_IMAGE_PLAIN ? sv_data_units(t) : 0, unit = UINT64_MAX;
    uint32_t width = sv_dtype_block_bytes(t->dtype);
    for (uint64_t i = 0; i < n && unit == UINT64_MAX; i++) {
        uint64_t off = t->at.off + sv_data_offset(t, i);
        if (at >= off && at < off + width)
            unit = i;
    }
    if (unit == UINT64_MAX) {
        snprintf(out, cap, "byte %llu: chip %02x, law %02x", (unsigned long long)(at - t->at.off), chip[at], law[at]);
        return;
    }
    char index[96] = "";
    uint64_t rest = unit * sv_dtype_block_items(t->dtype);
    for (uint32_t i = t->n_dim; i-- > 0;) {
        char tail[96];
        snprintf(tail, sizeof tail, "%llu%s%.80s", (unsigned long long)(rest % t->dim[i]), index[0] ? "," : "", index);
        snprintf(index, sizeof index, "%s", tail);
        rest /= t->dim[i];
    }
    uint64_t off = t->at.off + sv_data_offset(t, unit);
    if (width == 4)
        snprintf(out, cap, "item %llu [%s]: chip %08x, law %08x", (unsigned long long)unit, index,
                 sv_load_u32(chip + off), sv_load_u32(law + off));
    else if (width == 2)
        snprintf(out, cap, "item %llu [%s]: chip %04x, law %04x", (unsigned long long)unit, index,
                 sv_load_u16(chip + off), sv_load_u16(law + off));
    else
        snprintf(out, cap, "block %llu [%s], byte %llu: chip %02x, law %02x", (unsigned long long)unit, index,
                 (unsigned long long)(at - off), chip[at], law[at]);
}

static void report_difference(sv_suite *s, const sv_trial *t, const layout *l, const char *who, const uint8_t *chip,
                              const uint8_t *law)
{
    char where[320], line[768], repeat[96] = "";
    uint64_t at = 0;
    while (at < l->total && chip[at] == law[at])
        at++;
    snprintf(where, sizeof where, "guard byte %llu: %02x, was %02x", (unsigned long long)at, chip[at], law[at]);
    for (uint32_t i = 0; i < l->n_in; i++)
        if (at >= l->in[i].at.off && at < l->in[i].at.off + l->in_bytes[i])
            snprintf(where, sizeof where, "in[%u] was written, byte %llu: %02x, was %02x", i,
                     (unsigned long long)(at - l->in[i].at.off), chip[at], law[at]);
    for (uint32_t i = 0; i < l->n_out; i++)
        if (at >= l->out[i].at.off && at < l->out[i].at.off + l->out_bytes[i]) {
            char unit[256];
            describe(unit, sizeof unit, &l->out[i], at, chip, law);
            snprintf(where, sizeof where, "out[%u] %s", i, unit);
        }
    if (t->index != UINT32_MAX)
        snprintf(repeat, sizeof repeat, "--op %s --case %u", sv_opspecs[t->op]->name, t->index);
    else
        snprintf(repeat, sizeof repeat, "--op float");
    snprintf(line, sizeof line, "FAIL %s%s%s (%s), data %s%s: %s; repeat: samsvar chip test %s %s --seed %llu",
             sv_opspecs[t->op]->name, t->what[0] ? ", " : "", t->what, t->c->what, sv_data_name(t->kind), who, where,
             s->dev->spec, repeat, (unsigned long long)s->opts->seed);
    count_failure(s, line);
}

/* Memory. */

sv_err sv_suite_reserve(sv_suite *s, size_t bytes)
{
    if (bytes <= s->bytes)
        return SV_OK;
    bytes += bytes / 2;
    if (s->arena != NULL)
        s->dev->chip->free(s->dev->device, s->arena);
    s->arena = NULL;
    SV_TRY(s->dev->chip->alloc(s->dev->device, bytes, &s->arena));
    uint8_t **host[] = { &s->before, &s->after, &s->law };
    for (int i = 0; i < 3; i++) {
        sv_mem_free(*host[i]);
        *host[i] = sv_mem_new(bytes);
    }
    s->bytes = bytes;
    return SV_OK;
}

static void poison(uint8_t *p, size_t bytes)
{
    size_t whole = bytes / 2 * 2;
    for (size_t i = 0; i < whole; i += 2)
        sv_store_u16(p + i, POISON);
    if (whole < bytes)
        p[whole] = 0xff;
}

/* The next place: a guard behind what lies before, at an odd multiple of the chip's alignment, so that a kernel that
 * assumes more is caught. */
static uint64_t place(const sv_suite *s, uint64_t end)
{
    uint64_t align = s->dev->info.align, at = (end + GUARD + align - 1) / align * align;
    return at / align % 2 == 0 ? at + align : at;
}

static sv_err lay_out(sv_suite *s, const sv_trial *t, layout *l)
{
    const sv_opspec *spec = sv_opspecs[t->op];
    const sv_case *c = t->c;
    memset(l, 0, sizeof *l);
    l->n_in = c->n_in;
    l->n_out = spec->n_out;
    memcpy(l->in, c->in, sizeof l->in);
    memcpy(l->out, c->out, sizeof l->out);
    for (uint32_t i = 0; i < l->n_in; i++)
        if (l->in[i].n_dim > 0 && l->in[i].stride[l->in[i].n_dim - 1] == 0)
            sv_tensor_dense(&l->in[i]);
    for (uint32_t i = 0; i < l->n_out; i++)
        if (l->out[i].n_dim > 0 && l->out[i].stride[l->out[i].n_dim - 1] == 0)
            sv_tensor_dense(&l->out[i]);
    SV_TRY(spec->shape(l->in, l->n_in, c->has_attr ? &c->attr : NULL, l->out));
    uint64_t end = 0;
    for (uint32_t i = 0; i < l->n_in; i++) {
        SV_TRY(sv_tensor_bytes(&l->in[i], &l->in_bytes[i]));
        l->in[i].at.off = place(s, end);
        end = l->in[i].at.off + l->in_bytes[i];
    }
    for (uint32_t i = 0; i < l->n_out; i++) {
        SV_TRY(sv_tensor_bytes(&l->out[i], &l->out_bytes[i]));
        l->out[i].at.off = place(s, end);
        end = l->out[i].at.off + l->out_bytes[i];
    }
    l->total = place(s, end);
    return sv_suite_reserve(s, l->total);
}

static void bind(layout *l, sv_buffer *b)
{
    for (uint32_t i = 0; i < l->n_in; i++)
        l->in[i].at.buf = b;
    for (uint32_t i = 0; i < l->n_out; i++)
        l->out[i].at.buf = b;
}

/* Operands. */

/* Fills a packed weight: a plain one is drawn and packed by the reference. */
static sv_err fill_image(sv_tensor *image, sv_data_kind kind, const sv_data_key *key)
{
    uint64_t bytes;
    sv_tensor plain = sv_tensor_make(image->dtype, image->n_dim, image->dim);
    SV_TRY(sv_tensor_bytes(&plain, &bytes));
    sv_buffer b = { sv_mem_new(bytes + 1), bytes };
    plain.at = (sv_span){ &b, 0 };
    sv_data_fill(&plain, kind, key);
    sv_attr_pack attr = { image->image };
    sv_call call = { SV_OP_pack, 1, 1, &plain, image, &attr };
    sv_err err = sv_ref_run(&call);
    sv_mem_free(b.host);
    return err;
}

static sv_err fill(sv_suite *s, const sv_trial *t, layout *l)
{
    sv_buffer host = { s->before, s->bytes };
    uint32_t inout = sv_op_inout(t->op, t->c->has_attr ? &t->c->attr : NULL);
    sv_data_key key = { s->opts->seed, (uint32_t)t->op << 16 | (t->index & 0xffffu), 0 };
    poison(s->before, l->total);
    bind(l, &host);
    for (uint32_t i = 0; i < l->n_in; i++) {
        key.operand = i;
        if (l->in[i].image != SV_IMAGE_PLAIN)
            SV_TRY(fill_image(&l->in[i], t->kind, &key));
        else
            sv_data_fill(&l->in[i], t->kind, &key);
    }
    for (uint32_t i = 0; i < l->n_out; i++) {
        key.operand = MAX_IN + i;
        if (inout >> i & 1u)
            sv_data_fill(&l->out[i], t->kind, &key);
    }
    if (t->c->fill != NULL)
        t->c->fill(t->c, l->in, (uint32_t)t->kind);
    if (t->data != NULL)
        t->data(t, l->in, l->out);
    return SV_OK;
}

/* Copies the outputs of `from` over those of `to`, item by item, so that gaps between rows stay. */
static void take_outputs(const layout *l, uint8_t *to, const uint8_t *from)
{
    for (uint32_t i = 0; i < l->n_out; i++) {
        const sv_tensor *t = &l->out[i];
        if (t->image != SV_IMAGE_PLAIN) {
            memcpy(to + t->at.off, from + t->at.off, l->out_bytes[i]);
            continue;
        }
        uint64_t n = sv_data_units(t);
        for (uint64_t u = 0; u < n; u++) {
            uint64_t off = t->at.off + sv_data_offset(t, u);
            memcpy(to + off, from + off, sv_dtype_block_bytes(t->dtype));
        }
    }
}

static void canonical(layout *l, uint8_t *image, size_t bytes)
{
    sv_buffer host = { image, bytes };
    bind(l, &host);
    for (uint32_t i = 0; i < l->n_out; i++)
        sv_data_canonical(&l->out[i]);
}

/* Running. */

static sv_err run_reference(sv_suite *s, const sv_trial *t, layout *l, uint8_t *image)
{
    sv_buffer host = { image, s->bytes };
    bind(l, &host);
    sv_call call = { t->op, l->n_in, l->n_out, l->in, l->out, t->c->has_attr ? &t->c->attr : NULL };
    return sv_ref_run(&call);
}

static sv_err reserve_scratch(sv_suite *s, uint64_t bytes)
{
    uint64_t need = bytes + 2 * (uint64_t)s->dev->info.align;
    if (s->scratch != NULL && s->scratch->bytes >= need)
        return SV_OK;
    if (s->scratch != NULL)
        s->dev->chip->free(s->dev->device, s->scratch);
    s->scratch = NULL;
    return s->dev->chip->alloc(s->dev->device, need, &s->scratch);
}

/* before -> chip -> row -> after. Scratch is full of NaN, and what lies around it is looked at afterwards. */
static sv_err run_row(sv_suite *s, const sv_trial *t, layout *l, const sv_kernel *row, const sv_call *call)
{
    const sv_chip *chip = s->dev->chip;
    sv_queue *q = s->dev->queue;
    uint64_t align = s->dev->info.align, n = row->scratch_bytes != NULL ? row->scratch_bytes(call) : 0,
             all = n + 2 * align;
    sv_span arena = { s->arena, 0 }, scratch = { NULL, 0 };
    uint8_t *noise = NULL, *back = NULL;
    if (n > 0) {
        SV_TRY(reserve_scratch(s, n));
        scratch = (sv_span){ s->scratch, align };
        noise = sv_mem_new(all);
        back = sv_mem_new(all);
        poison(noise, all);
    }
    sv_err err = n > 0 ? chip->put(q, (sv_span){ s->scratch, 0 }, noise, all) : SV_OK;
    if (err == SV_OK)
        err = chip->put(q, arena, s->before, l->total);
    if (err == SV_OK)
        err = row->run(q, call, scratch);
    if (err == SV_OK)
        err = chip->get(q, s->after, arena, l->total);
    if (err == SV_OK && n > 0)
        err = chip->get(q, back, (sv_span){ s->scratch, 0 }, all);
    if (err == SV_OK)
        err = chip->wait(q);
    if (err == SV_OK && n > 0 &&
        (memcmp(noise, back, align) != 0 || memcmp(noise + align + n, back + align + n, align) != 0))
        sv_suite_fail(s, sv_opspecs[t->op]->name, "case %u (%s) wrote outside its %llu bytes of scratch", t->index,
                      t->c->what, (unsigned long long)n);
    sv_mem_free(noise);
    sv_mem_free(back);
    return err;
}

/* The core's fallback: operands to the host, the reference, and back. */
static sv_err run_fallback(sv_suite *s, const sv_trial *t, layout *l)
{
    const sv_chip *chip = s->dev->chip;
    sv_queue *q = s->dev->queue;
    sv_span arena = { s->arena, 0 };
    SV_TRY(chip->put(q, arena, s->before, l->total));
    SV_TRY(chip->get(q, s->after, arena, l->total));
    SV_TRY(chip->wait(q));
    SV_TRY(run_reference(s, t, l, s->after));
    SV_TRY(chip->put(q, arena, s->after, l->total));
    SV_TRY(chip->get(q, s->after, arena, l->total));
    return chip->wait(q);
}

static sv_err run_once(sv_suite *s, const sv_trial *t, layout *l, bool *native)
{
    bind(l, s->arena);
    sv_call call = { t->op, l->n_in, l->n_out, l->in, l->out, t->c->has_attr ? &t->c->attr : NULL };
    const sv_kernel *row = sv_chip_row(s->dev->chip, &call);
    *native = row != NULL;
    sv_err err = row != NULL ? run_row(s, t, l, row, &call) : run_fallback(s, t, l);
    return err == SV_OK ? SV_OK : sv_fail_in(err, "%s case %u (%s): ", sv_opspecs[t->op]->name, t->index, t->c->what);
}

sv_err sv_suite_compare(sv_suite *s, const sv_trial *t)
{
    layout l;
    bool native = false;
    sv_err err = lay_out(s, t, &l);
    if (err == SV_OK)
        err = fill(s, t, &l);
    if (err != SV_OK)
        return sv_fail_in(err, "%s case %u (%s): ", sv_opspecs[t->op]->name, t->index, t->c->what);
    memcpy(s->law, s->before, l.total);
    SV_TRY(run_reference(s, t, &l, s->law));
    canonical(&l, s->law, s->bytes);
    s->result->n_case++;
    uint8_t *expect = sv_mem_new(l.total);
    memcpy(expect, s->before, l.total);
    take_outputs(&l, expect, s->law);
    bool good = memcmp(expect, s->law, l.total) == 0;
    if (!good)
        report_difference(s, t, &l, ", the reference itself", s->law, expect);
    for (int turn = 0; turn < 2 && good && err == SV_OK; turn++) {
        memset(s->after, 0, l.total);
        err = run_once(s, t, &l, &native);
        if (err != SV_OK)
            break;
        canonical(&l, s->after, s->bytes);
        good = memcmp(expect, s->after, l.total) == 0;
        if (!good)
            report_difference(s, t, &l, turn > 0 ? ", the second time" : "", s->after, expect);
        if (!native)
            break;
    }
    s->result->n_native += native;
    sv_mem_free(expect);
    return err;
}

/* The suite. */

static bool wants(const sv_suite *s, const char *name)
{
    return s->opts->op == NULL || strcmp(s->opts->op, name) == 0;
}

static bool enough(const sv_suite *s)
{
    return s->opts->max_fail > 0 && s->result->n_fail >= s->opts->max_fail;
}

static sv_err run_op(sv_suite *s, sv_op op)
{
    const sv_opspec *spec = sv_opspecs[op];
    uint64_t n_case = s->result->n_case, n_native = s->result->n_native, n_fail = s->result->n_fail;
    sv_case *c = sv_mem_new(sizeof *c);
    sv_err err = SV_OK;
    for (uint32_t i = 0; err == SV_OK && !enough(s); i++) {
        memset(c, 0, sizeof *c);
        if (spec->cases == NULL || spec->cases(i, c) == 0)
            break;
        if (s->opts->only_case != UINT32_MAX ? i != s->opts->only_case : s->opts->quick && i % 7 != 0)
            continue;
        for (uint32_t k = 0; k < SV_DATA_COUNT && err == SV_OK; k++) {
            sv_trial t = { .op = op, .c = c, .index = i, .what = "", .kind = (sv_data_kind)k };
            uint64_t failed = s->result->n_fail;
            err = sv_suite_compare(s, &t);
            if (s->result->n_fail > failed)
                break; /* one line per case */
        }
    }
    sv_mem_free(c);
    SV_TRY(err);
    n_case = s->result->n_case - n_case;
    n_native = s->result->n_native - n_native;
    n_fail = s->result->n_fail - n_fail;
    sv_suite_say(s, "%-4s %-13s %5llu cases, %5llu native, %llu failed", n_fail ? "FAIL" : "ok", spec->name,
                 (unsigned long long)n_case, (unsigned long long)n_native, (unsigned long long)n_fail);
    return SV_OK;
}

static sv_err check_name(const sv_suite *s)
{
    static const char *const group[] = { "memory", "order", "float" };
    const char *word[SV_OP_COUNT + 3];
    size_t n = 0;
    if (s->opts->op == NULL)
        return SV_OK;
    for (uint32_t i = 0; i < SV_OP_COUNT; i++)
        word[n++] = sv_opspecs[i]->name;
    for (uint32_t i = 0; i < 3; i++)
        word[n++] = group[i];
    for (size_t i = 0; i < n; i++)
        if (strcmp(word[i], s->opts->op) == 0)
            return SV_OK;
    const char *near = sv_str_nearest(s->opts->op, word, n);
    return sv_fail(SV_E_ARG, "no op is called %s%s%s; groups are memory, order, float", s->opts->op,
                   near ? "; did you mean " : "", near ? near : "");
}

static sv_err run_group(sv_suite *s, const char *name, sv_err (*group)(sv_suite *s))
{
    if (!wants(s, name))
        return SV_OK;
    uint64_t n_case = s->result->n_case, n_fail = s->result->n_fail;
    SV_TRY(group(s));
    n_case = s->result->n_case - n_case;
    n_fail = s->result->n_fail - n_fail;
    sv_suite_say(s, "%-4s %-13s %5llu cases, %llu failed", n_fail ? "FAIL" : "ok", name, (unsigned long long)n_case,
                 (unsigned long long)n_fail);
    return SV_OK;
}

static sv_err run_all(sv_suite *s)
{
    SV_TRY(check_name(s));
    SV_TRY(run_group(s, "memory", sv_suite_memory));
    SV_TRY(run_group(s, "order", sv_suite_order));
    if (!s->dev->info.is_exact) {
        sv_suite_say(s, "%s is not exact: its answers are not compared", s->dev->spec);
        return SV_OK;
    }
    SV_TRY(run_group(s, "float", sv_suite_float));
    for (uint32_t i = 0; i < SV_OP_COUNT; i++)
        if (wants(s, sv_opspecs[i]->name) && !enough(s))
            SV_TRY(run_op(s, (sv_op)i));
    return SV_OK;
}

sv_err sv_conform_run(sv_chip_dev *dev, const sv_conform_opts *opts, sv_conform_result *out)
{
    static const sv_conform_opts all = { .only_case = UINT32_MAX };
    memset(out, 0, sizeof *out);
    sv_suite s = { .dev = dev, .opts = opts != NULL ? opts : &all, .result = out };
    sv_err err = sv_suite_reserve(&s, 1 << 16);
    if (err == SV_OK)
        err = run_all(&s);
    if (s.arena != NULL)
        dev->chip->free(dev->device, s.arena);
    if (s.scratch != NULL)
        dev->chip->free(dev->device, s.scratch);
    sv_mem_free(s.before);
    sv_mem_free(s.after);
    sv_mem_free(s.law);
    return err;
}
