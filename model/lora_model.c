/* SPDX-License-Identifier: Apache-2.0
 * An adapter and its base: put beside it, or merged into it.
 */
#include <string.h>

#include "base/sha.h"
#include "model/lora.h"
#include "model/save_impl.h"

static void drop_lora(void *l)
{
    sv_lora_close(l);
}

sv_err sv_model_check_base(const sv_model *m, const sv_lora *l)
{
    uint8_t sum[32];
    char hex[65];
    if (l->base_hash[0] == '\0')
        return SV_OK;
    sv_model_weights_hash(m, sum);
    sv_sha_hex(sum, hex);
    if (strcmp(hex, l->base_hash) == 0)
        return SV_OK;
    return sv_fail(
        SV_E_ARG,
        "%s was trained on %s, whose weights have SHA-256 %.16s...; those of %s have %.16s.... Name that base, or "
        "remove samsvar_adapter.json from the adapter's folder to use it here all the same",
        l->path, l->base[0] ? l->base : "another base", l->base_hash, m->path, hex);
}

sv_err sv_model_attach(sv_model *m, const char *dir)
{
    sv_lora *l;
    SV_TRY(sv_lora_open(dir, &m->config, &l));
    sv_arena_defer(m->arena, drop_lora, l);
    SV_TRY(sv_model_check_base(m, l));
    m->lora = l;
    return SV_OK;
}

/* ---- merging ---- */

/* out = W + s (B A): a chain of fma over r ascending from +0, and one fma that adds it to W. */
static void merge_rows(const sv_lora_part *p, uint32_t n_row, uint32_t n_col, const float *sum_row, float *w)
{
    float *sum = (float *)(uintptr_t)sum_row;
    for (uint32_t o = 0; o < n_row; o++, w += n_col) {
        memset(sum, 0, n_col * sizeof *sum);
        for (uint32_t j = 0; j < p->rank; j++) {
            float b = p->b[(size_t)o * p->rank + j];
            const float *a = p->a + (size_t)j * n_col;
            for (uint32_t i = 0; i < n_col; i++)
                sum[i] = __builtin_fmaf(b, a[i], sum[i]);
        }
        for (uint32_t i = 0; i < n_col; i++)
            w[i] = __builtin_fmaf(p->scale, sum[i], w[i]);
    }
}

/* The weight in F32, merged; then in its own float type again, or F32 where it was block-quantised. */
static sv_err merge_one(sv_model_own *o, const sv_lora_part *p, uint32_t id)
{
    sv_tensor *shape = &o->m.shape[id];
    uint32_t n_row = shape->dim[0], n_col = shape->dim[1];
    uint64_t n = sv_tensor_items(shape);
    sv_dtype own = o->stored[id].dtype;
    void *wide, *narrow;
    SV_TRY(sv_model_block(o->m.arena, n * sizeof(float), "a merged weight", &wide));
    sv_widen(shape->dtype, o->m.data[id], n_row, n_col, wide);
    float *sum = sv_mem_new((n_col + (size_t)1) * sizeof *sum);
    merge_rows(p, n_row, n_col, sum, wide);
    sv_mem_free(sum);
    if (own == SV_DT_F32 || !sv_dtype_is_float(own)) {
        shape->dtype = SV_DT_F32;
        o->m.data[id] = wide;
        o->stored[id] = (sv_stored){ SV_DT_F32, wide, n * sizeof(float) };
        return SV_OK;
    }
    uint64_t size = sv_dtype_block_bytes(own);
    SV_TRY(sv_model_block(o->m.arena, n * size, "a merged weight", &narrow));
    for (uint64_t i = 0; i < n; i++)
        sv_dtype_quant_block(own, (const float *)wide + i, (uint8_t *)narrow + i * size);
    shape->dtype = own;
    o->m.data[id] = narrow;
    o->stored[id] = (sv_stored){ own, narrow, n * size };
    return SV_OK;
}

sv_err sv_model_merge(sv_model *m)
{
    sv_model_own *o = (sv_model_own *)m;
    for (uint32_t id = 0; m->lora != NULL && id < m->lora->n_id; id++) {
        const sv_lora_part *p = sv_lora_of(m->lora, id);
        if (p == NULL)
            continue;
        if (sv_weight_is_alias(&m->config, id))
            return sv_fail(
                SV_E_UNSUPPORTED,
                "%s extends lm_head, which in %s is the table of embeddings: merged, both would change. Serve it "
                "beside the base",
                m->lora->path, m->path);
        SV_TRY(merge_one(o, p, id));
    }
    m->lora = NULL;
    return SV_OK;
}
