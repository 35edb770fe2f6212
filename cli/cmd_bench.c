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
    for (int n = 0; err == SV_OK && (n < 3 || sv_clock_s() - start < 0.5); n++) {
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

static sv_err product(sv_peaks *p, uint32_t M, uint32_t N, uint32_t K, bool json)
{
    sv_attr_matmul attr = { SV_NT, 0 };
    sv_tensor in[2] = { sv_tensor_make(SV_DT_F32, 2, (uint32_t[]){ M, K }),
                        sv_tensor_make(SV_DT_F32, 2, (uint32_t[]){ N, K }) };
    sv_tensor out = sv_tensor_make(SV_DT_F32, 2, (uint32_t[]){ M, N });
    sv_call call = { SV_OP_matmul, 2, 1, in, &out, &attr };
    double best = 0, flop = 2.0 * M * N * K;
    if (p->dev.chip->weight_image != NULL)
        in[1].image = (uint8_t)p->dev.chip->weight_image(p->dev.device, SV_DT_F32, N, K);
    sv_err err = place(&p->dev, &in[0]);
    if (err == SV_OK)
        err = place(&p->dev, &in[1]);
    if (err == SV_OK)
        err = place(&p->dev, &out);
    if (err == SV_OK)
        err = time_call(&p->dev, &call, &best);
    sv_tensor *t[3] = { &in[0], &in[1], &out };
    for (int i = 0; i < 3; i++)
        if (t[i]->at.buf != NULL)
            p->dev.chip->free(p->dev.device, t[i]->at.buf);
    SV_TRY(err);
    if (best == 0)
        return SV_OK;
    if (json)
        sv_out_json(json_pack("{s:s, s:I, s:I, s:I, s:f, s:f}", "event", "matmul_f32", "m", (json_int_t)M, "n",
                              (json_int_t)N, "k", (json_int_t)K, "gflops", flop / best * 1e-9, "fraction_of_fma",
                              flop / best / p->fma));
    else
        sv_out("  matmul f32 %4ux%ux%u  %8.1f GFLOP/s, %.2f of the fused multiply-add peak\n", M, N, K,
               flop / best * 1e-9, flop / best / p->fma);
    sv_out_flush();
    return SV_OK;
}

static sv_err bench_on(const sv_args *a, const char *spec, sv_peaks *p)
{
    bool json = sv_arg_on(a, SV_FLAG_JSON);
    sv_chip_opts opts = { .n_thread = (uint32_t)sv_arg_u64(a, SV_FLAG_THREADS) };
    SV_TRY(sv_chip_open(spec, &opts, &p->dev));
    measure(p);
    print_peaks(p, json);
    sv_err err = SV_OK;
    for (uint32_t m = 256; err == SV_OK && m <= 512; m *= 2)
        err = product(p, m, 1024, 1024, json);
    sv_chip_close(&p->dev);
    return err;
}

sv_err sv_cmd_bench(const sv_args *a)
{
    sv_peaks p = { 0 };
    SV_TRY(bench_on(a, sv_arg_text(a, SV_FLAG_CHIP), &p));
    return a->n_word > 0 ? sv_bench_model(a, &p) : SV_OK;
}

sv_err sv_chip_bench(const sv_args *a)
{
    sv_peaks p = { 0 };
    return bench_on(a, a->n_word > 1 ? a->word[1] : NULL, &p);
}
