/* SPDX-License-Identifier: Apache-2.0
 * Walks the calls of a plan: the chip's row, or by fallback the cpu chip's row or the reference. The bits are the same
 * on each route; only the time differs.
 */
#include <string.h>

#include "base/clock.h"
#include "num/bits.h"
#include "op/spec.h"
#include "run/plan_impl.h"

#define STAGING_ALIGN 64u

static uint64_t staged(uint64_t bytes)
{
    return (bytes + STAGING_ALIGN - 1) / STAGING_ALIGN * STAGING_ALIGN;
}

static sv_machine *machine_of(const sv_plan *p)
{
    return sv_store_machine(p->store);
}

static sv_err operand_bytes(const sv_call *call, uint64_t *sum)
{
    *sum = 0;
    for (uint32_t i = 0; i < call->n_in + call->n_out; i++) {
        uint64_t bytes;
        SV_TRY(sv_tensor_bytes(i < call->n_in ? &call->in[i] : &call->out[i - call->n_in], &bytes));
        *sum += staged(bytes);
    }
    return SV_OK;
}

static void choose_reference(sv_plan *p, sv_plan_call *c, bool on_chip_memory)
{
    const sv_opspec *spec = sv_opspecs[c->call.op];
    c->route = on_chip_memory ? SV_ROUTE_REFERENCE : SV_ROUTE_REFERENCE_COPY;
    c->scratch_bytes = spec->ref_scratch_bytes ? spec->ref_scratch_bytes(&c->call) : 0;
    if (c->scratch_bytes > p->ref_scratch_bytes)
        p->ref_scratch_bytes = c->scratch_bytes;
}

sv_err sv_plan_choose_row(sv_plan *p, sv_plan_call *c)
{
    sv_machine *m = machine_of(p);
    c->row = sv_chip_row(m->dev.chip, &c->call);
    if (c->row != NULL) {
        c->route = SV_ROUTE_CHIP;
        c->scratch_bytes = c->row->scratch_bytes ? c->row->scratch_bytes(&c->call) : 0;
        if (c->scratch_bytes > p->scratch_bytes)
            p->scratch_bytes = c->scratch_bytes;
        return SV_OK;
    }
    if (m->strict)
        return sv_fail(SV_E_CHIP, "chip %s has no row that takes %s of %s; without --strict-chip the cpu runs it",
                       m->dev.spec, sv_opspecs[c->call.op]->name, sv_tensor_text(&c->call.in[0]));
    if (m->dev.info.host_memory && !m->has_helper) {
        choose_reference(p, c, true);
        return SV_OK;
    }
    uint64_t bytes;
    SV_TRY(operand_bytes(&c->call, &bytes));
    if (bytes > p->staging_bytes)
        p->staging_bytes = bytes;
    c->row = m->has_helper ? sv_chip_row(m->helper.chip, &c->call) : NULL;
    if (c->row == NULL) {
        choose_reference(p, c, false);
        return SV_OK;
    }
    c->route = SV_ROUTE_HELPER;
    c->scratch_bytes = c->row->scratch_bytes ? c->row->scratch_bytes(&c->call) : 0;
    if (c->scratch_bytes > p->helper_scratch_bytes)
        p->helper_scratch_bytes = c->scratch_bytes;
    return SV_OK;
}

sv_err sv_plan_reserve(sv_plan *p)
{
    sv_machine *m = machine_of(p);
    if (p->scratch_bytes > 0)
        SV_TRY(m->dev.chip->alloc(m->dev.device, p->scratch_bytes, &p->scratch.buf));
    if (p->ref_scratch_bytes > 0)
        SV_TRY(sv_mem_large(p->ref_scratch_bytes, "scratch of the reference", &p->ref_scratch));
    if (p->staging_bytes > 0 && m->has_helper)
        SV_TRY(m->helper.chip->alloc(m->helper.device, p->staging_bytes, &p->staging));
    else if (p->staging_bytes > 0) {
        SV_TRY(sv_mem_large(p->staging_bytes, "operands of fallback calls", &p->staging_block));
        p->staging_host = (sv_buffer){ p->staging_block, p->staging_bytes };
        p->staging = &p->staging_host;
    }
    if (p->helper_scratch_bytes > 0)
        SV_TRY(m->helper.chip->alloc(m->helper.device, p->helper_scratch_bytes, &p->helper_scratch.buf));
    return SV_OK;
}

void sv_plan_release(sv_plan *p)
{
    sv_machine *m = machine_of(p);
    if (p->scratch.buf != NULL)
        m->dev.chip->free(m->dev.device, p->scratch.buf);
    if (p->helper_scratch.buf != NULL)
        m->helper.chip->free(m->helper.device, p->helper_scratch.buf);
    if (p->staging_block != NULL)
        sv_mem_large_free(p->staging_block, p->staging_bytes);
    else if (p->staging != NULL)
        m->helper.chip->free(m->helper.device, p->staging);
    if (p->ref_scratch != NULL)
        sv_mem_large_free(p->ref_scratch, p->ref_scratch_bytes);
}

/* Fetches operands to the host, runs there, puts the results back. inout results are fetched as well. */
static sv_err run_copied(sv_plan *p, const sv_plan_call *c)
{
    sv_machine *m = machine_of(p);
    const sv_chip *chip = m->dev.chip;
    const sv_opspec *spec = sv_opspecs[c->call.op];
    const uint32_t inout = sv_op_inout(c->call.op, c->call.attr);
    sv_tensor in[8], out[8];
    uint64_t off = 0, bytes[16];
    SV_ASSERT(c->call.n_in <= 8 && c->call.n_out <= 8);
    for (uint32_t i = 0; i < c->call.n_in + c->call.n_out; i++) {
        bool is_in = i < c->call.n_in;
        uint32_t j = is_in ? i : i - c->call.n_in;
        sv_tensor *t = is_in ? &in[j] : &out[j];
        *t = is_in ? c->call.in[j] : c->call.out[j];
        SV_TRY(sv_tensor_bytes(t, &bytes[i]));
        sv_span from = t->at;
        t->at = (sv_span){ p->staging, off };
        off += staged(bytes[i]);
        if (bytes[i] > 0 && (is_in || (inout >> j & 1)))
            SV_TRY(chip->get(m->dev.queue, sv_tensor_host(t), from, bytes[i]));
    }
    SV_TRY(chip->wait(m->dev.queue));
    sv_call call = c->call;
    call.in = in;
    call.out = out;
    if (c->route == SV_ROUTE_HELPER) {
        SV_TRY(c->row->run(m->helper.queue, &call, p->helper_scratch));
        SV_TRY(m->helper.chip->wait(m->helper.queue));
    } else {
        spec->ref(&call, p->ref_scratch);
    }
    for (uint32_t i = 0; i < c->call.n_out; i++)
        if (bytes[c->call.n_in + i] > 0)
            SV_TRY(chip->put(m->dev.queue, c->call.out[i].at, sv_tensor_host(&out[i]), bytes[c->call.n_in + i]));
    return SV_OK;
}

static sv_err run_fallback(sv_plan *p, const sv_plan_call *c)
{
    sv_machine *m = machine_of(p);
    if (m->dev.info.host_memory || m->has_helper)
        SV_TRY(m->dev.chip->wait(m->dev.queue));
    uint64_t start = sv_clock_ns();
    if (c->route == SV_ROUTE_REFERENCE)
        sv_opspecs[c->call.op]->ref(&c->call, p->ref_scratch);
    else
        SV_TRY(run_copied(p, c));
    m->fallback_ns += sv_clock_ns() - start;
    m->n_fallback++;
    return SV_OK;
}

static sv_err trace_call(sv_plan *p, uint32_t index)
{
    sv_machine *m = machine_of(p);
    const sv_plan_call *c = &p->call[index];
    for (uint32_t i = 0; i < c->call.n_out; i++) {
        uint64_t bytes;
        SV_TRY(sv_tensor_bytes(&c->call.out[i], &bytes));
        void *data;
        SV_TRY(sv_mem_large(bytes + 4, "a traced result", &data));
        memset((char *)data + bytes / 4 * 4, 0, 4);
        sv_err err = bytes ? m->dev.chip->get(m->dev.queue, data, c->call.out[i].at, bytes) : SV_OK;
        if (err == SV_OK)
            err = m->dev.chip->wait(m->dev.queue);
        sv_trace_row row = { .call = index,
                             .output = i,
                             .op = c->call.op,
                             .layer = c->layer,
                             .label = c->label,
                             .shape = &c->call.out[i],
                             .data = data,
                             .bytes = bytes };
        row.hash = sv_bits_hash(data, (bytes + 3) / 4, 0);
        if (err == SV_OK)
            p->trace(p->trace_ctx, &row);
        sv_mem_large_free(data, bytes + 4);
        SV_TRY(err);
    }
    return SV_OK;
}

sv_err sv_plan_run(sv_plan *p)
{
    sv_machine *m = machine_of(p);
    uint64_t start = sv_clock_ns();
    for (uint32_t i = 0; i < p->n_call; i++) {
        const sv_plan_call *c = &p->call[i];
        if (c->route == SV_ROUTE_CHIP)
            SV_TRY(c->row->run(m->dev.queue, &c->call, p->scratch));
        else
            SV_TRY(run_fallback(p, c));
        if (p->trace != NULL)
            SV_TRY(trace_call(p, i));
    }
    SV_TRY(m->dev.chip->wait(m->dev.queue));
    m->n_call += p->n_call;
    m->run_ns += sv_clock_ns() - start;
    return SV_OK;
}

sv_err sv_plan_set(sv_plan *p, sv_step_id id, const void *data, uint64_t bytes)
{
    const sv_plan_own *own = sv_plan_find(p, SV_KIND_STEP, id);
    if (own == NULL)
        return SV_OK; /* the tape does not ask for it */
    SV_ASSERT(own->bytes == bytes);
    sv_machine *m = machine_of(p);
    return bytes == 0 ? SV_OK : m->dev.chip->put(m->dev.queue, own->t.at, data, bytes);
}

sv_err sv_plan_set_step(sv_plan *p, const sv_step *step)
{
    const sv_step_shape *n = &step->shape;
    const struct {
        sv_step_id id;
        const void *data;
        uint64_t items;
    } part[] = {
        { SV_STEP_TOK, step->tok, n->n_tok },
        { SV_STEP_POS, step->pos, n->n_tok },
        { SV_STEP_SEQ, step->seq, n->n_tok },
        { SV_STEP_TABLE, step->table, (uint64_t)n->n_seq * n->n_page },
        { SV_STEP_WANT, step->want, n->n_want },
        { SV_STEP_SEG, step->seg, n->n_leaf + 1 },
        { SV_STEP_SEG_WANT, step->seg_want, n->n_leaf + 1 },
        { SV_STEP_TARGET, step->target, n->n_want },
        { SV_STEP_DLP, step->dlp, n->n_want },
    };
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++)
        if (part[i].data != NULL)
            SV_TRY(sv_plan_set(p, part[i].id, part[i].data, part[i].items * 4));
    return SV_OK;
}

sv_err sv_plan_get(sv_plan *p, uint32_t out_id, void *data, uint64_t bytes)
{
    const sv_plan_own *own = sv_plan_find(p, SV_KIND_OUT, out_id);
    SV_ASSERT(own != NULL && own->bytes == bytes);
    sv_machine *m = machine_of(p);
    if (bytes == 0)
        return SV_OK;
    SV_TRY(m->dev.chip->get(m->dev.queue, data, own->t.at, bytes));
    return m->dev.chip->wait(m->dev.queue);
}
