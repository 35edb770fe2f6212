/* SPDX-License-Identifier: Apache-2.0
 * For tests of ops: tensors with memory, and a tape executor that knows the references alone.
 * Threads: one at a time.
 */
#ifndef SV_TEST_OP_RUN_H
#define SV_TEST_OP_RUN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "num/bits.h"
#include "num/philox.h"
#include "op/spec.h"

#define OP_RUN_UNUSED __attribute__((unused))

/* Gives a tensor memory, full of NaN. Never freed singly: tests end soon; op_run_drop_all frees all. */
typedef struct op_run_block {
    struct op_run_block *next;
    sv_buffer buf;
} op_run_block;

static op_run_block *op_run_blocks;

OP_RUN_UNUSED static void op_run_place(sv_tensor *t)
{
    uint64_t bytes = 0;
    assert_int_equal(sv_tensor_bytes(t, &bytes), SV_OK);
    op_run_block *b = sv_mem_new(sizeof *b);
    b->next = op_run_blocks;
    op_run_blocks = b;
    b->buf = (sv_buffer){ sv_mem_new(bytes + 8), bytes };
    memset(b->buf.host, 0xff, bytes + 8);
    t->at = (sv_span){ &b->buf, 0 };
}

OP_RUN_UNUSED static int op_run_drop_all(void **state)
{
    (void)state;
    while (op_run_blocks != NULL) {
        op_run_block *b = op_run_blocks;
        op_run_blocks = b->next;
        sv_mem_free(b->buf.host);
        sv_mem_free(b);
    }
    return 0;
}

OP_RUN_UNUSED static sv_tensor op_run_tensor(sv_dtype dtype, uint32_t n_dim, uint32_t d0, uint32_t d1, uint32_t d2,
                                             uint32_t d3)
{
    const uint32_t dim[] = { d0, d1, d2, d3 };
    sv_tensor t = sv_tensor_make(dtype, n_dim, dim);
    op_run_place(&t);
    return t;
}

#define T1(dtype, d0) op_run_tensor(SV_DT_##dtype, 1, d0, 0, 0, 0)
#define T2(dtype, d0, d1) op_run_tensor(SV_DT_##dtype, 2, d0, d1, 0, 0)
#define T3(dtype, d0, d1, d2) op_run_tensor(SV_DT_##dtype, 3, d0, d1, d2, 0)
#define T4(dtype, d0, d1, d2, d3) op_run_tensor(SV_DT_##dtype, 4, d0, d1, d2, d3)

OP_RUN_UNUSED static float *op_run_f(const sv_tensor *t)
{
    return sv_tensor_host(t);
}
OP_RUN_UNUSED static int32_t *op_run_i(const sv_tensor *t)
{
    return sv_tensor_host(t);
}

/* Standard normal items times scale in a dense F32 tensor. */
OP_RUN_UNUSED static void op_run_normal(sv_tensor *t, uint32_t key, float scale)
{
    uint64_t n = sv_tensor_items(t);
    float four[4], *x = op_run_f(t);
    for (uint64_t i = 0; i < n; i++) {
        if (i % 4 == 0)
            sv_philox_normal4(key, SV_STREAM_TEST, 0, i / 4, four);
        x[i] = four[i % 4] * scale;
    }
}

OP_RUN_UNUSED static sv_tensor op_run_normal2(uint32_t d0, uint32_t d1, uint32_t key)
{
    sv_tensor t = T2(F32, d0, d1);
    op_run_normal(&t, key, 1.0f);
    return t;
}

OP_RUN_UNUSED static sv_tensor op_run_ints(uint32_t n, const int32_t *v)
{
    sv_tensor t = T1(I32, n);
    memcpy(op_run_i(&t), v, n * sizeof *v);
    return t;
}

/* Runs a bound call by its reference. */
OP_RUN_UNUSED static void op_run_ref(const sv_call *call)
{
    const sv_opspec *s = sv_opspecs[call->op];
    void *scratch = sv_mem_new((s->ref_scratch_bytes ? s->ref_scratch_bytes(call) : 0) + 1);
    s->ref(call, scratch);
    sv_mem_free(scratch);
}

/* Shape rule, memory for outputs that have none (at.buf is NULL), reference. */
OP_RUN_UNUSED static void op_run_call(sv_op op, const void *attr, const sv_tensor *in, uint32_t n_in, sv_tensor *out)
{
    const sv_opspec *s = sv_opspecs[op];
    sv_err err = s->shape(in, n_in, attr, out);
    if (err != SV_OK)
        fail_msg("%s: %s", s->name, sv_err_text());
    for (uint32_t i = 0; i < s->n_out; i++)
        if (out[i].at.buf == NULL)
            op_run_place(&out[i]);
    sv_call call = { op, n_in, s->n_out, in, out, attr };
    op_run_ref(&call);
}

/* The same for one output that is new. */
OP_RUN_UNUSED static sv_tensor op_run1(sv_op op, const void *attr, const sv_tensor *in, uint32_t n_in)
{
    sv_tensor out[4];
    memset(out, 0, sizeof out);
    op_run_call(op, attr, in, n_in, out);
    return out[0];
}

/* Dense F32 tensors have the same bits. */
OP_RUN_UNUSED static void op_run_same(const sv_tensor *a, const sv_tensor *b)
{
    uint64_t n = sv_tensor_items(a);
    assert_true(n == sv_tensor_items(b));
    for (uint64_t i = 0; i < n; i++)
        if (!sv_bits_same(op_run_f(a)[i], op_run_f(b)[i]))
            fail_msg("item %llu: %a and %a", (unsigned long long)i, (double)op_run_f(a)[i], (double)op_run_f(b)[i]);
}

/* |got - want| <= tolerance (1 + |want|). */
OP_RUN_UNUSED static void op_run_near(double got, double want, double tolerance, const char *what, uint64_t index)
{
    double d = got - want, size = want < 0 ? -want : want;
    if (!(d <= tolerance * (1 + size) && -d <= tolerance * (1 + size)))
        fail_msg("%s, item %llu: %.9g instead of %.9g", what, (unsigned long long)index, got, want);
}

/* A tape run by references: memory of every value. */
typedef struct op_run_tape {
    sv_tensor *value; /* [n_value], placed */
    size_t n_value;
} op_run_tape;

/* Memory for values that have none yet; all zero, so that accumulated gradients start there. */
OP_RUN_UNUSED static void op_run_bind(op_run_tape *r, const sv_tape *t)
{
    r->value = sv_mem_grow(r->value, r->n_value * sizeof *r->value, t->n_value * sizeof *r->value);
    for (size_t i = r->n_value; i < t->n_value; i++) {
        r->value[i] = t->value[i].t;
        op_run_place(&r->value[i]);
        memset(r->value[i].at.buf->host, 0, r->value[i].at.buf->bytes);
    }
    r->n_value = t->n_value;
}

OP_RUN_UNUSED static void op_run_calls(op_run_tape *r, const sv_tape *t)
{
    for (size_t i = 0; i < t->n_call; i++) {
        const sv_tape_call *c = &t->call[i];
        sv_tensor in[8], out[8];
        for (uint32_t k = 0; k < c->n_in; k++)
            in[k] = r->value[c->in[k]];
        for (uint32_t k = 0; k < c->n_out; k++)
            out[k] = r->value[c->out[k]];
        sv_call call = { c->op, c->n_in, c->n_out, in, out, c->attr };
        op_run_ref(&call);
    }
}

OP_RUN_UNUSED static void op_run_tape_drop(op_run_tape *r)
{
    sv_mem_free(r->value);
    *r = (op_run_tape){ 0 };
}

#endif
