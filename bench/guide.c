/* SPDX-License-Identifier: Apache-2.0
 * What it costs to keep an answer in a form: sorting the vocabulary once, and a mask of it for each step.
 *
 *     build/bench/guide MODEL
 *
 * Random walks of up to 400 tokens through any JSON object and through a schema; first each mask is new, then the same
 * walk finds its masks made. One JSON line each, microseconds a step.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "infer/guide.h"
#include "infer/schema.h"
#include "model/model.h"
#include "num/philox.h"

#define STEPS 400u

static void need(sv_err e)
{
    if (e == SV_OK)
        return;
    fprintf(stderr, "%s\n", sv_err_text());
    exit(1);
}

static sv_guide *guide_of(const char *schema, const sv_vocab *v)
{
    json_error_t e;
    json_t *o = json_loads(schema, 0, &e);
    sv_gram g;
    sv_gram_init(&g);
    need(sv_schema_compile(&g, o, "schema", &g.root));
    json_decref(o);
    return sv_guide_make(&g, v);
}

static uint32_t nth(const uint64_t *mask, uint32_t n)
{
    uint32_t id = 0;
    while (!(mask[id / 64] >> id % 64 & 1) || n-- > 0)
        id++;
    return id;
}

static void walk(sv_guide *d, const sv_vocab *v, const char *name, const char *state, float *z)
{
    static uint32_t id[STEPS];
    sv_guide_at at = { 0 };
    double sum = 0, worst = 0;
    uint32_t n = 0;
    for (; n < STEPS; n++) {
        const uint64_t *mask;
        double start = sv_clock_s();
        if (!sv_guide_follow(d, &at, id, n ? n - 1 : 0, n) || sv_guide_must_end(d, at))
            break;
        sv_guide_forbid(d, at, NULL, 0, z, v->n);
        double s = sv_clock_s() - start;
        sum += s;
        worst = s > worst ? s : worst;
        uint32_t allowed = sv_guide_mask(d, at, &mask);
        if (allowed == 0)
            break;
        id[n] = nth(mask, sv_philox_at(1, SV_STREAM_TEST, 0, 0, n).w[0] % allowed);
    }
    printf("{\"bench\":\"guide\",\"form\":\"%s\",\"masks\":\"%s\",\"steps\":%u,\"us\":%.1f,\"worst_us\":%.1f}\n", name,
           state, n, n ? sum / n * 1e6 : 0, worst * 1e6);
}

int main(int argc, char **argv)
{
    static const char *const form[][2] = {
        { "object", "{\"type\":\"object\"}" },
        { "schema",
          "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"tags\":{\"type\":\"array\","
          "\"items\":{\"enum\":[\"red\",\"green\"]},\"maxItems\":8},\"size\":{\"type\":\"number\"}},\"required\":["
          "\"name\",\"tags\",\"size\"]}" },
    };
    sv_model_opts mo = { 0 };
    sv_model *m;
    if (argc != 2) {
        fprintf(stderr, "usage: guide MODEL\n");
        return 2;
    }
    need(sv_model_open(argv[1], &mo, &m));
    need(sv_model_need_tokenizer(m));
    double start = sv_clock_s();
    sv_vocab *v = sv_vocab_make(m->tokenizer, sv_tokenizer_count(m->tokenizer));
    printf("{\"bench\":\"guide\",\"vocabulary\":%u,\"not_plain\":%u,\"sort_ms\":%.1f}\n", v->n, v->odd.n,
           (sv_clock_s() - start) * 1e3);
    float *z = calloc(v->n, sizeof *z);
    for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
        sv_guide *d = guide_of(form[i][1], v);
        walk(d, v, form[i][0], "new", z);
        walk(d, v, form[i][0], "made", z);
        sv_guide_drop(d);
    }
    free(z);
    sv_vocab_drop(v);
    sv_model_close(m);
    return 0;
}
