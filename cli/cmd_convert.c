/* SPDX-License-Identifier: Apache-2.0
 * samsvar convert: a Hugging Face folder to GGUF or back, in another item type if asked.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/cmd.h"

#define N_TYPE 9

static sv_err read_dtype(const sv_args *a, bool to_gguf, sv_dtype *out)
{
    static const struct {
        const char *name;
        sv_dtype dtype;
    } row[N_TYPE] = { { "f32", SV_DT_F32 },   { "bf16", SV_DT_BF16 }, { "f16", SV_DT_F16 },
                      { "q8_0", SV_DT_Q8_0 }, { "q4_0", SV_DT_Q4_0 }, { "q4_1", SV_DT_Q4_1 },
                      { "q4_k", SV_DT_Q4_K }, { "q5_k", SV_DT_Q5_K }, { "q6_k", SV_DT_Q6_K } };
    const char *names[N_TYPE], *text = sv_arg_text(a, SV_FLAG_DTYPE);
    *out = SV_DTYPE_COUNT;
    if (text[0] == '\0')
        return SV_OK;
    for (int i = 0; i < N_TYPE; i++) {
        names[i] = row[i].name;
        if (strcasecmp(text, row[i].name) == 0)
            *out = row[i].dtype;
    }
    if (*out == SV_DTYPE_COUNT)
        return sv_fail_word("no item type", text, names, N_TYPE);
    if (!to_gguf && sv_dtype_is_block(*out))
        return sv_fail(SV_E_ARG, "a folder cannot hold %s; name the output something.gguf", sv_dtype_name(*out));
    return SV_OK;
}

static bool is_same(const char *in, const char *out)
{
    char *x = realpath(in, NULL), *y = realpath(out, NULL);
    bool same = x != NULL && y != NULL && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

static uint32_t n_block(const sv_model *m)
{
    uint32_t n = 0;
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++)
        n += m->data[id] != NULL && sv_dtype_is_block(m->shape[id].dtype);
    return n;
}

static const char *loss_words(const sv_model *m, sv_dtype dtype)
{
    bool from_f32 = false, from_bf16 = false;
    for (uint32_t id = 0; id < sv_weight_ids(&m->config); id++)
        if (m->data[id] != NULL && m->shape[id].n_dim > 1) {
            from_f32 = from_f32 || m->shape[id].dtype == SV_DT_F32;
            from_bf16 = from_bf16 || m->shape[id].dtype == SV_DT_BF16;
        }
    if (dtype == SV_DTYPE_COUNT || dtype == SV_DT_F32)
        return "nothing is lost";
    if (sv_dtype_is_block(dtype))
        return "matrices are quantised: answers change";
    if (dtype == SV_DT_F16 && from_bf16)
        return "BF16 to F16: large and tiny values may not fit";
    return from_f32 ? "matrices are rounded once" : "nothing is lost where the type is the same";
}

static sv_err merge(sv_model *m)
{
    const char *path = m->lora->path;
    sv_live("merging %s", path);
    SV_TRY(sv_model_merge(m));
    sv_live_end();
    sv_note("%s is merged: another model with another hash, whose answers are close to those of base and adapter",
            path);
    return SV_OK;
}

static sv_err convert(const sv_args *a, sv_model *m, bool to_gguf, sv_dtype dtype)
{
    const char *out = a->word[1];
    double start = sv_clock_s();
    if (!to_gguf && dtype == SV_DTYPE_COUNT && n_block(m) > 0)
        return sv_fail(SV_E_UNSUPPORTED,
                       "%s holds %u block-quantised tensors, which a folder cannot say; give --dequant or --dtype bf16",
                       m->path, n_block(m));
    sv_note("%s (%s, %.1f million parameters) -> %s (%s, %s): %s", m->path, m->kind, (double)sv_model_params(m) * 1e-6,
            out, to_gguf ? "gguf" : "folder", dtype == SV_DTYPE_COUNT ? "types kept" : sv_dtype_name(dtype),
            loss_words(m, dtype));
    if (sv_arg_on(a, SV_FLAG_DRY_RUN))
        return SV_OK;
    if (m->lora != NULL)
        SV_TRY(merge(m));
    sv_live("writing %s", out);
    sv_err err = to_gguf ? sv_model_save_gguf(m, out, dtype) : sv_model_save(m, out, NULL, dtype);
    sv_live_end();
    SV_TRY(err);
    if (sv_arg_on(a, SV_FLAG_JSON))
        sv_out_json(json_pack("{s:i, s:s, s:s, s:s, s:f}", "v", 1, "in", m->path, "out", out, "dtype",
                              dtype == SV_DTYPE_COUNT ? "kept" : sv_dtype_name(dtype), "seconds",
                              sv_clock_s() - start));
    sv_note("written in %.1f s", sv_clock_s() - start);
    return SV_OK;
}

sv_err sv_cmd_convert(const sv_args *a)
{
    size_t n = strlen(a->word[1]);
    bool to_gguf = n > 5 && strcmp(a->word[1] + n - 5, ".gguf") == 0;
    sv_dtype dtype;
    sv_model *m;
    SV_TRY(read_dtype(a, to_gguf, &dtype));
    if (is_same(a->word[0], a->word[1]))
        return sv_fail(SV_E_ARG, "%s: in and out are the same; name another output", a->word[1]);
    if (!to_gguf && sv_file_exists(a->word[1]) && !sv_file_is_dir(a->word[1]))
        return sv_fail(SV_E_ARG, "%s is a file; name a folder, or something.gguf", a->word[1]);
    SV_TRY(sv_open_model(a, a->word[0], &m));
    sv_err err = convert(a, m, to_gguf, dtype);
    sv_model_close(m);
    return err;
}
