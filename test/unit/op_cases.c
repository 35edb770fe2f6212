/* SPDX-License-Identifier: Apache-2.0
 * Claims about the table of ops and about the conformance cases: they agree with ops.def, pass their shape rules, and
 * the references write every output and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "num/bits.h"
#include "num/dtype.h"
#include "num/philox.h"
#include "op/spec.h"

#define GUARD 64
#define MAX_OPERAND 8

static const struct {
    const char *name, *formula;
    uint32_t n_in, n_out;
    sv_op_class class;
} list[] = {
#define SV_OP(name, n_in, n_out, class, formula) { #name, formula, n_in, n_out, SV_CLASS_##class },
#include "samsvar/ops.def"
#undef SV_OP
};

static void test_table_says_what_ops_def_says(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SV_OP_COUNT; i++) {
        const sv_opspec *s = sv_opspecs[i];
        assert_string_equal(s->name, list[i].name);
        assert_string_equal(s->formula, list[i].formula);
        assert_int_equal(s->n_in, list[i].n_in);
        assert_int_equal(s->n_out, list[i].n_out);
        assert_int_equal(s->class, list[i].class);
        assert_non_null(s->shape);
        assert_non_null(s->ref);
        assert_non_null(s->cases);
    }
}

/* One block of memory per operand, with guard bytes around. */
typedef struct operand {
    sv_buffer buf;
    uint8_t *all;
    uint64_t bytes;
} operand;

static void place(operand *o, sv_tensor *t)
{
    assert_int_equal(sv_tensor_bytes(t, &o->bytes), SV_OK);
    o->all = sv_mem_new(o->bytes + 2 * GUARD);
    memset(o->all, 0xff, o->bytes + 2 * GUARD); /* NaN in every float type */
    o->buf = (sv_buffer){ o->all + GUARD, o->bytes };
    t->at = (sv_span){ &o->buf, 0 };
}

static void check_guards(const operand *o)
{
    for (uint32_t i = 0; i < GUARD; i++) {
        assert_int_equal(o->all[i], 0xff);
        assert_int_equal(o->all[GUARD + o->bytes + i], 0xff);
    }
}

/* Small numbers in every item; scales of blocks are small too. */
static void fill_floats(sv_tensor *t, uint32_t key)
{
    uint64_t bytes = 0;
    sv_tensor_bytes(t, &bytes);
    uint8_t *p = sv_tensor_host(t);
    bool wide = t->dtype == SV_DT_F32 || t->dtype == SV_DT_Q8X;
    for (uint64_t i = 0; i + (wide ? 4 : 2) <= bytes; i += wide ? 4 : 2) {
        float v = sv_philox_uniform(sv_philox_at(key, SV_STREAM_TEST, 0, 0, (uint32_t)i).w[0]) - 0.5f;
        if (wide)
            memcpy(p + i, &v, 4);
        else
            sv_store_u16(p + i, t->dtype == SV_DT_BF16 ? sv_bf16_narrow(v) : sv_f16_narrow(v));
    }
}

static uint64_t hash(const operand *o)
{
    uint64_t h = SV_FNV_START;
    for (uint64_t i = 0; i < o->bytes; i++)
        h = sv_fnv_word(h, o->all[GUARD + i]);
    return h;
}

/* Goes on with h over the words of an output, NaN canonical. */
static uint64_t hash_output(uint64_t h, const sv_tensor *t, const operand *o)
{
    const uint8_t *p = o->all + GUARD;
    uint32_t width = t->dtype == SV_DT_BF16 || t->dtype == SV_DT_F16 ? 2 : 4;
    for (uint64_t i = 0; i + width <= o->bytes; i += width)
        h = sv_fnv_word(h, width == 2              ? sv_load_u16(p + i)
                           : t->dtype == SV_DT_F32 ? sv_bits_canonical(sv_load_u32(p + i))
                                                   : sv_load_u32(p + i));
    return h;
}

/* Runs a case by the reference; gives its nanoseconds, and its outputs go on with *bits. */
static int64_t run_case(sv_op op, sv_case *c, uint32_t variant, uint64_t *bits)
{
    const sv_opspec *s = sv_opspecs[op];
    operand in[MAX_OPERAND], out[MAX_OPERAND];
    uint64_t before[MAX_OPERAND];
    const void *attr = c->has_attr ? &c->attr : NULL;
    assert_int_equal(s->shape(c->in, c->n_in, attr, c->out), SV_OK);
    for (uint32_t i = 0; i < c->n_in; i++) {
        place(&in[i], &c->in[i]);
        if (c->in[i].dtype != SV_DT_I32)
            fill_floats(&c->in[i], i + 1);
    }
    if (c->fill)
        c->fill(c, c->in, variant);
    for (uint32_t i = 0; i < c->n_in; i++)
        before[i] = hash(&in[i]);
    for (uint32_t i = 0; i < s->n_out; i++) {
        assert_true(c->out[i].n_dim > 0);
        place(&out[i], &c->out[i]);
        if (sv_op_inout(op, attr) >> i & 1u)
            fill_floats(&c->out[i], i + 100);
    }
    sv_call call = { op, c->n_in, s->n_out, c->in, c->out, attr };
    void *scratch = sv_mem_new((s->ref_scratch_bytes ? s->ref_scratch_bytes(&call) : 0) + 1);
    int64_t start = (int64_t)sv_clock_ns();
    s->ref(&call, scratch);
    int64_t ns = (int64_t)sv_clock_ns() - start;
    sv_mem_free(scratch);
    for (uint32_t i = 0; i < c->n_in; i++) {
        check_guards(&in[i]);
        assert_true(before[i] == hash(&in[i]));
        sv_mem_free(in[i].all);
    }
    for (uint32_t i = 0; i < s->n_out; i++) {
        check_guards(&out[i]);
        for (uint64_t k = 0; c->out[i].dtype == SV_DT_F32 && k + 4 <= out[i].bytes; k += 4)
            if (sv_load_u32(out[i].all + GUARD + k) == 0xffffffffu)
                fail_msg("%s (%s): output %u item %llu was not written", s->name, c->what, i,
                         (unsigned long long)(k / 4));
        *bits = hash_output(*bits, &c->out[i], &out[i]);
        sv_mem_free(out[i].all);
    }
    return ns;
}

/* The golden hash of an op; 0: none. */
static uint64_t golden(const char *name)
{
    FILE *in = fopen("test/golden/ops.txt", "r");
    char line[128], word[64];
    unsigned long long h = 0, found = 0;
    assert_non_null(in);
    while (fgets(line, sizeof line, in) != NULL)
        if (line[0] != '#' && sscanf(line, "%63s %llx", word, &h) == 2 && strcmp(word, name) == 0)
            found = h;
    fclose(in);
    return found;
}

static void test_references_write_all_outputs_and_nothing_else_with_the_golden_bits(void **state)
{
    (void)state;
    uint32_t total = 0, wrong = 0;
    for (uint32_t op = 0; op < SV_OP_COUNT; op++) {
        uint64_t bits = SV_FNV_START;
        int64_t sum = 0, most = 0;
        char slowest[64] = "";
        uint32_t n = 0;
        for (;; n++) {
            sv_case c;
            memset(&c, 0, sizeof c);
            if (sv_opspecs[op]->cases(n, &c) == 0)
                break;
            assert_true(c.what[0] != 0);
            int64_t ns = run_case((sv_op)op, &c, n % 4, &bits);
            sum += ns;
            if (ns > most) {
                most = ns;
                snprintf(slowest, sizeof slowest, "%s", c.what);
            }
        }
        assert_true(n >= 30);
        total += n;
        print_message("%-13s %4u cases, %6.1f ms, slowest %5.1f ms: %s\n", sv_opspecs[op]->name, n, (double)sum / 1e6,
                      (double)most / 1e6, slowest);
        if (bits != golden(sv_opspecs[op]->name)) {
            print_message("BITS %s %016llx\n", sv_opspecs[op]->name, (unsigned long long)bits);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
    print_message("%u cases\n", total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_says_what_ops_def_says),
        cmocka_unit_test(test_references_write_all_outputs_and_nothing_else_with_the_golden_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
