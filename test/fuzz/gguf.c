/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: any bytes as a GGUF file. What opens must have every value and every block readable.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "format/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sink; /* keeps the reads */

static void read_value(const sv_gguf *g, const sv_gguf_value *v)
{
    uint32_t u;
    double f;
    bool b;
    sv_str s;
    SV_ASSERT(sv_gguf_find(g, v->key) == v);
    for (uint64_t i = 0; i < v->n; i++) {
        if (v->type != SV_GGUF_STRING)
            sink += v->at.u[i];
        else if (v->at.s[i].n)
            sink += (uint8_t)v->at.s[i].p[0] + (uint8_t)v->at.s[i].p[v->at.s[i].n - 1];
    }
    (void)sv_gguf_u32(g, v->key, true, &u);
    (void)sv_gguf_f64(g, v->key, true, &f);
    (void)sv_gguf_bool(g, v->key, true, &b);
    (void)sv_gguf_text(g, v->key, true, &s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sv_gguf *g;
    float w[SV_DTYPE_MAX_BLOCK_ITEMS];
    if (sv_gguf_open_bytes(data, size, "fuzz", &g) != SV_OK) {
        SV_ASSERT(strncmp(sv_err_text(), "fuzz: ", 6) == 0);
        return 0;
    }
    for (size_t i = 0; i < g->n_value && i < 256; i++)
        read_value(g, &g->value[i]);
    for (size_t i = 0; i < g->tensors->n; i++) {
        const sv_named_tensor *t = &g->tensors->item[i];
        uint32_t block = sv_dtype_block_bytes(t->dtype);
        SV_ASSERT(sv_tensors_find(g->tensors, t->name) == t);
        SV_ASSERT(t->bytes == 0 || (t->data >= data && t->data + t->bytes <= data + size));
        SV_ASSERT(t->bytes % block == 0);
        for (uint64_t at = 0; at < t->bytes; at += block) {
            SV_ASSERT(sv_dtype_dequant_block(t->dtype, t->data + at, w));
            sink += sv_f32_bits(w[0]);
        }
        (void)sv_named_tensor_check_finite(t);
    }
    sv_gguf_close(g);
    return 0;
}
