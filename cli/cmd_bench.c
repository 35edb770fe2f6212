/* SPDX-License-Identifier: Apache-2.0
 * samsvar bench: what this machine can do, and what part of it products of matrices reach.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/peak.h"
#include "cli/bench.h"
#include "op/spec.h"

#define READ_BLOCK ((size_t)1 << 30)

static void measure(sv_peaks *p)
{
    const char *isa = p->dev.info.variant;
    p->n_thread = p->dev.info.n_thread ? p->dev.info.n_thread : 1;
    sv_live("measuring the machine's peaks ...");
    p->fma1 = peak_fma(isa, 1);
    p->fma = peak_fma(isa, p->n_thread);
    p->int8 = peak_int8(isa, p->n_thread);
    p->read1 = peak_read(1, READ_BLOCK);
    p->read = peak_read(p->n_thread, READ_BLOCK);
    sv_live_end();
}

static void print_peaks(const sv_peaks *p, bool json)
{
    double load[1] = { 0 };
    if (getloadavg(load, 1) == 1 && load[0] > 0.5 * p->n_thread)
        sv_warn("the machine is busy (load %.1f): figures are too low", load[0]);
    if (json)
        sv_out_json(json_pack("{s:s, s:s, s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "event", "machine", "machine",
                              p->dev.info.name, "chip", p->dev.spec, "version", SV_VERSION, "threads",
                              (json_int_t)p->n_thread, "load", load[0], "fma1_gflops", p->fma1 * 1e-9, "fma_gflops",
                              p->fma * 1e-9, "int8_gops", p->int8 * 1e-9, "read1_gbs", p->read1 * 1e-9, "read_gbs",
                              p->read * 1e-9));
    else
        sv_out("%s\n  f32 fused multiply-add  %8.1f GFLOP/s on 1 thread, %8.1f on %u\n  int8 products           %8.1f "
               "GOP/s on %u\n"
               "  reading memory          %8.1f GB/s on 1 thread,    %8.1f on %u\n",
               p->dev.info.name, p->fma1 * 1e-9, p->fma * 1e-9, p->n_thread, p->int8 * 1e-9, p->n_thread,
               p->read1 * 1e-9, p->read * 1e-9, p->n_thread);
}

/* ---- a product ---- */

static sv_err place(sv_chip_dev *d, sv_tensor *t)
{
    uint64_t bytes;
    void *data;
    SV_TRY(sv_tensor_bytes(t, &bytes));
    SV_TRY(d->chip->alloc(d->device, bytes, &t->at.buf));
    SV_TRY(sv_mem_large(bytes, "operands of a bench", &data));
    for (uint64_t i = 0; i < bytes / 4; i++)
        ((float *)data)[i] = (float)((i * 2654435761u >> 8) % 2000) * 0.001f - 1;
    sv_err err = d->chip->put(d->queue, t->at, data, bytes);
    if (err == SV_OK)
        err = d->chip->wait(d->queue);
    sv_mem_large_free(data, bytes);
    return err;
}

static sv_err time_call(sv_chip_dev *d, const sv_call *call, double *best)
{
    const sv_kernel *row = sv_chip_row(d->chip, call);
    sv_span scratch = { 0 };
    *best = 0;
    if (row == NULL)
        return SV_OK;
    size_t need = row->scratch_bytes ? row->scratch_bytes(call) : 0;
    if (need > 0)
        SV_TRY(d->chip->alloc(d->device, need, &scratch.buf));
    sv_err err = SV_OK;
    double start = sv_clock_s();
    for (int n = 0; err == SV_OK && (n == 0 || sv_clock_s() - start < 0.5); n++) {
        double t0 = sv_clock_s();
        err = row->run(d->queue, call, scratch);
        if (err == SV_OK)
            err = d->chip->wait(d->queue);
        double t = sv_clock_s() - t0;
        *best = *best == 0 || t < *best ? t : *best;
    }
    if (scratch.buf != NULL)
        d->chip->free(d->device, scratch.buf);
    return err;
}

typedef struct product {
    sv_dtype weight;
    uint32_t m, n, k;
} product;

/* [m,k] times a weight [n,k] in the image that the chip wants; *best: seconds, 0 where the chip has no row for it. */
static sv_err time_product(sv_chip_dev *dev, const product *q, double *best, uint64_t *weight_bytes)
{
    sv_attr_matmul attr = { SV_NT, 0 };
    sv_dtype x = sv_dtype_is_block(q->weight) ? SV_DT_Q8X : SV_DT_F32;
    sv_tensor in[2] = { sv_tensor_make(x, 2, (uint32_t[]){ q->m, q->k }),
                        sv_tensor_make(q->weight, 2, (uint32_t[]){ q->n, q->k }) };
    sv_tensor out = sv_tensor_make(SV_DT_F32, 2, (uint32_t[]){ q->m, q->n });
    sv_call call = { SV_OP_matmul, 2, 1, in, &out, &attr };
    if (dev->chip->weight_image != NULL)
        in[1].image = (uint8_t)dev->chip->weight_image(dev->device, q->weight, q->n, q->k);
    *best = 0;
    SV_TRY(sv_tensor_bytes(&in[1], weight_bytes));
    if (x == SV_DT_Q8X && in[1].image == SV_IMAGE_PLAIN)
        return SV_OK;
    sv_err err = place(dev, &in[0]);
    if (err == SV_OK)
        err = place(dev, &in[1]);
    if (err == SV_OK)
        err = place(dev, &out);
    if (err == SV_OK)
        err = time_call(dev, &call, best);
    sv_tensor *t[3] = { &in[0], &in[1], &out };
    for (int i = 0; i < 3; i++)
        if (t[i]->at.buf != NULL)
            dev->chip->free(dev->device, t[i]->at.buf);
    return err;
}

/* One row is bound by reading the weight, many by multiplying. */
static sv_err bench_product(sv_peaks *p, const product *q, bool json)
{
    double best, limit = sv_dtype_is_block(q->weight) ? p->int8 : p->fma;
    const char *unit = "GOP/s", *of = sv_dtype_is_block(q->weight) ? "int8" : "fma", *name = sv_dtype_name(q->weight);
    uint64_t bytes;
    SV_TRY(time_product(&p->dev, q, &best, &bytes));
    if (best == 0)
        return SV_OK;
    double rate = 2.0 * q->m * q->n * q->k / best;
    if (q->m == 1) {
        rate = (double)bytes / best;
        limit = p->read;
        unit = "GB/s";
        of = "read";
    }
    if (json)
        sv_out_json(json_pack("{s:s, s:s, s:I, s:I, s:I, s:f, s:s, s:f, s:s}", "event", "matmul", "weight", name, "m",
                              (json_int_t)q->m, "n", (json_int_t)q->n, "k", (json_int_t)q->k, "rate", rate * 1e-9,
                              "unit", unit, "of_limit", rate / limit, "limit", of));
    else
        sv_out("  matmul %-5s %4u x %6u x %4u  %8.1f %-5s  %.2f of the %s peak\n", name, q->m, q->n, q->k, rate * 1e-9,
               unit, rate / limit, of);
    sv_out_flush();
    return SV_OK;
}

/* Shapes of a model of 0.6 billion weights: one row times its largest matrix, a batch, a prompt. */
static sv_err bench_products(sv_peaks *p, bool json)
{
    static const sv_dtype weight[] = {
        SV_DT_F32, SV_DT_F16, SV_DT_BF16, SV_DT_Q8_0, SV_DT_Q4_0, SV_DT_Q4_K, SV_DT_Q6_K
    };
    for (uint32_t i = 0; i < sizeof weight / sizeof *weight; i++) {
        SV_TRY(bench_product(p, &(product){ weight[i], 1, 151936, 1024 }, json));
        SV_TRY(bench_product(p, &(product){ weight[i], 16, 3072, 1024 }, json));
        SV_TRY(bench_product(p, &(product){ weight[i], 512, 3072, 1024 }, json));
    }
    return SV_OK;
}

static sv_err bench_on(const sv_args *a, const char *spec, bool products, sv_peaks *p)
{
    bool json = sv_arg_on(a, SV_FLAG_JSON);
    sv_chip_opts opts = { .n_thread = (uint32_t)sv_arg_u64(a, SV_FLAG_THREADS) };
    SV_TRY(sv_chip_open(spec, &opts, &p->dev));
    measure(p);
    print_peaks(p, json);
    sv_err err = products ? bench_products(p, json) : SV_OK;
    sv_chip_close(&p->dev);
    return err;
}

sv_err sv_cmd_bench(const sv_args *a)
{
    sv_peaks p = { 0 };
    SV_TRY(bench_on(a, sv_arg_text(a, SV_FLAG_CHIP), a->n_word == 0, &p));
    return a->n_word > 0 ? sv_bench_model(a, &p) : SV_OK;
}

sv_err sv_chip_bench(const sv_args *a)
{
    sv_peaks p = { 0 };
    return bench_on(a, a->n_word > 1 ? a->word[1] : NULL, true, &p);
}
