/* SPDX-License-Identifier: Apache-2.0
 * Speed of single ops on a chip beside the machine's peaks, measured in the same run; one JSON line per case.
 *     bench/op [--chip SPEC] [--threads N] [--only TEXT]
 * "of" is the fraction of the peak that bounds the case: fma (floating point), int8, or read (bytes of weights).
 */
#include <stdarg.h>
#include <stdlib.h>

#include "bench/peak.h"
#include "chip/registry.h"
#include "num/dtype.h"
#include "num/image.h"
#include "op/spec.h"

typedef struct bench {
    sv_chip_dev dev;
    double fma, int8, read;
    const char *only;
    uint32_t seed;
} bench;

typedef struct bench_call {
    sv_tensor in[8], out[4];
    uint32_t n_in, n_out;
    sv_buffer *buf[16];
    uint32_t n_buf;
    bool failed;
} bench_call;

static float draw(bench *b)
{
    b->seed = b->seed * 1664525u + 1013904223u;
    return (float)(int32_t)b->seed * 0x1p-31f;
}

/* Room on the chip, with plausible contents. */
static void place(bench *b, bench_call *c, sv_tensor *t, const int32_t *ints)
{
    uint64_t bytes = 0;
    sv_span at = { NULL, 0 };
    if (sv_tensor_bytes(t, &bytes) != SV_OK || c->n_buf == 16 ||
        b->dev.chip->alloc(b->dev.device, bytes + 64, &at.buf) != SV_OK) {
        c->failed = true;
        return;
    }
    c->buf[c->n_buf++] = at.buf;
    t->at = at;
    uint8_t *host = sv_mem_new(bytes + 8);
    if (ints != NULL)
        memcpy(host, ints, bytes);
    else if (t->dtype == SV_DT_F32)
        for (uint64_t i = 0; i < bytes / 4; i++)
            sv_store_u32(host + 4 * i, sv_f32_bits(draw(b)));
    else
        for (uint64_t i = 0; i + 1 < bytes; i += 2) /* as f16 or bf16: small normal numbers; as codes: anything */
            sv_store_u16(host + i, (uint16_t)((sv_f32_bits(draw(b)) & 0x83ffu) | 0x2c00u));
    b->dev.chip->put(b->dev.queue, at, host, bytes);
    b->dev.chip->wait(b->dev.queue);
    sv_mem_free(host);
}

static sv_tensor *add_in(bench *b, bench_call *c, sv_dtype dtype, uint32_t d0, uint32_t d1, sv_image image)
{
    sv_tensor *t = &c->in[c->n_in++];
    *t = sv_tensor_make(dtype, d1 ? 2 : 1, (uint32_t[]){ d0, d1 });
    t->image = (uint8_t)image;
    place(b, c, t, NULL);
    return t;
}

static void add_ints(bench *b, bench_call *c, uint32_t n, uint32_t d1, const int32_t *v)
{
    sv_tensor *t = &c->in[c->n_in++];
    *t = d1 ? sv_tensor_make(SV_DT_I32, 2, (uint32_t[]){ n, d1 }) : sv_tensor_make(SV_DT_I32, 1, &n);
    place(b, c, t, v);
}

static void drop(bench *b, bench_call *c)
{
    for (uint32_t i = 0; i < c->n_buf; i++)
        b->dev.chip->free(b->dev.device, c->buf[i]);
}

/* Runs a call until 0.3 s are over and prints the best. flop or bytes is 0 when it does not apply. */
static void run(bench *b, bench_call *c, sv_op op, const void *attr, const char *what, double flop, double bytes,
                double peak, const char *of)
{
    const sv_opspec *spec = sv_opspecs[op];
    c->n_out = spec->n_out;
    sv_call call = { op, c->n_in, c->n_out, c->in, c->out, attr };
    if (c->failed || spec->shape(c->in, c->n_in, attr, c->out) != SV_OK) {
        fprintf(stderr, "%s %s: %s\n", spec->name, what, sv_err_text());
        drop(b, c);
        return;
    }
    for (uint32_t i = 0; i < c->n_out; i++)
        if (c->out[i].at.buf == NULL)
            place(b, c, &c->out[i], NULL);
    const sv_kernel *row = sv_chip_row(b->dev.chip, &call);
    sv_span scratch = { NULL, 0 };
    size_t need = row && row->scratch_bytes ? row->scratch_bytes(&call) : 0;
    if (need > 0 && b->dev.chip->alloc(b->dev.device, need, &scratch.buf) == SV_OK)
        c->buf[c->n_buf++] = scratch.buf;
    if (row == NULL || c->failed) {
        printf("{\"op\":\"%s\",\"case\":\"%s\",\"native\":false}\n", spec->name, what);
        drop(b, c);
        return;
    }
    double best = 1e30, start = sv_clock_s();
    for (int n = 0; n < 3 || (sv_clock_s() - start < 0.3 && n < 20000); n++) {
        double t0 = sv_clock_s();
        if (row->run(b->dev.queue, &call, scratch) != SV_OK || b->dev.chip->wait(b->dev.queue) != SV_OK) {
            fprintf(stderr, "%s %s: %s\n", spec->name, what, sv_err_text());
            break;
        }
        double t = sv_clock_s() - t0;
        best = t < best ? t : best;
    }
    printf("{\"op\":\"%s\",\"case\":\"%s\",\"us\":%.2f", spec->name, what, best * 1e6);
    if (flop > 0)
        printf(",\"gflops\":%.1f", flop / best * 1e-9);
    if (bytes > 0)
        printf(",\"gbs\":%.2f", bytes / best * 1e-9);
    if (peak > 0)
        printf(",\"of\":\"%s\",\"fraction\":%.3f", of, (strcmp(of, "read") == 0 ? bytes : flop) / best / peak);
    printf("}\n");
    fflush(stdout);
    drop(b, c);
}

static bool wanted(const bench *b, const char *op)
{
    return b->only == NULL || strstr(op, b->only) != NULL;
}

static const char *text(char *buf, size_t n, const char *fmt, ...) SV_PRINTF(3, 4);
static const char *text(char *buf, size_t n, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, n, fmt, ap);
    va_end(ap);
    return buf;
}

/* ---- products ---- */

static void bench_nt(bench *b, uint32_t M, uint32_t N, uint32_t K, sv_dtype dtype, sv_image image)
{
    bench_call c = { 0 };
    sv_attr_matmul attr = { SV_NT, 0 };
    char what[96];
    bool block = sv_dtype_is_block(dtype);
    add_in(b, &c, block ? SV_DT_Q8X : SV_DT_F32, M, K, SV_IMAGE_PLAIN);
    add_in(b, &c, dtype, N, K, image);
    double flop = 2.0 * M * N * K, bytes = (double)sv_dtype_row_bytes(dtype, K) * N;
    text(what, sizeof what, "NT %ux%ux%u %s%s", M, N, K, sv_dtype_name(dtype), image ? " packed" : "");
    bool by_read = M <= 2;
    run(b, &c, SV_OP_matmul, &attr, what, flop, bytes,
        by_read ? b->read
        : block ? b->int8
                : b->fma,
        by_read ? "read"
        : block ? "int8"
                : "fma");
}

static void bench_nn(bench *b, uint32_t M, uint32_t N, uint32_t K)
{
    bench_call c = { 0 };
    sv_attr_matmul attr = { SV_NN, 0 };
    char what[96];
    add_in(b, &c, SV_DT_F32, M, N, SV_IMAGE_PLAIN);
    add_in(b, &c, SV_DT_F32, N, K, SV_IMAGE_PLAIN);
    run(b, &c, SV_OP_matmul, &attr, text(what, sizeof what, "NN %ux%ux%u", M, K, N), 2.0 * M * N * K, 0, b->fma, "fma");
}

static void bench_tn(bench *b, uint32_t T, uint32_t N, uint32_t K, uint32_t leaf)
{
    bench_call c = { 0 };
    sv_attr_matmul attr = { SV_TN, 1 };
    char what[96];
    int32_t seg[4097];
    uint32_t L = 0;
    for (seg[0] = 0; seg[L] < (int32_t)T && L < 4096; L++)
        seg[L + 1] = seg[L] + (int32_t)leaf < (int32_t)T ? seg[L] + (int32_t)leaf : (int32_t)T;
    add_in(b, &c, SV_DT_F32, T, N, SV_IMAGE_PLAIN);
    add_in(b, &c, SV_DT_F32, T, K, SV_IMAGE_PLAIN);
    add_ints(b, &c, L + 1, 0, seg);
    c.out[0] = sv_tensor_make(SV_DT_F32, 2, (uint32_t[]){ N, K });
    place(b, &c, &c.out[0], NULL);
    text(what, sizeof what, "TN %ux%u over %u, leaves of %u", N, K, T, leaf);
    run(b, &c, SV_OP_matmul, &attr, what, 2.0 * T * N * K, 0, b->fma, "fma");
}

static void bench_products(bench *b)
{
    static const uint32_t small[][2] = { { 96, 96 }, { 256, 96 }, { 96, 256 }, { 25, 96 } };
    for (uint32_t i = 0; i < 4; i++) { /* the layers of a 335,040-parameter model, 2,048 tokens */
        bench_nt(b, 2048, small[i][0], small[i][1], SV_DT_F32, SV_IMAGE_PLAIN);
        bench_nn(b, 2048, small[i][0], small[i][1]);
        bench_tn(b, 2048, small[i][0], small[i][1], 250);
    }
    bench_nt(b, 256, 1024, 1024, SV_DT_F32, SV_IMAGE_P16);
    bench_nt(b, 512, 1024, 1024, SV_DT_F32, SV_IMAGE_P16);
    bench_nt(b, 512, 1024, 1024, SV_DT_F32, SV_IMAGE_PLAIN);
    bench_nt(b, 512, 1536, 576, SV_DT_F32, SV_IMAGE_P16);
    bench_nt(b, 512, 1024, 3072, SV_DT_F32, SV_IMAGE_P16);
    bench_nt(b, 512, 1024, 1024, SV_DT_BF16, SV_IMAGE_P16);
    bench_nn(b, 512, 1024, 1024);
    bench_tn(b, 1024, 1024, 1024, 256);
    for (uint32_t m = 1; m <= 64; m *= 2)
        bench_nt(b, m, 1024, 1024, SV_DT_F32, SV_IMAGE_P16);
    for (uint32_t m = 1; m <= 8; m *= 2)
        bench_nt(b, m, 49152, 1024, SV_DT_BF16, SV_IMAGE_P16);
    bench_nt(b, 1, 49152, 1024, SV_DT_F16, SV_IMAGE_P16);
    static const sv_dtype block[] = { SV_DT_Q8_0, SV_DT_Q4_0, SV_DT_Q4_1, SV_DT_Q4_K, SV_DT_Q5_K, SV_DT_Q6_K };
    for (uint32_t i = 0; i < 6; i++) {
        sv_image image = (sv_image)(SV_IMAGE_S8 + i);
        for (uint32_t m = 1; m <= 16; m *= 2)
            bench_nt(b, m, 3072, 1024, block[i], image);
        bench_nt(b, 512, 3072, 1024, block[i], image);
        if (i >= 3) {
            bench_nt(b, 1, 131072, 1024, block[i], image);
            continue;
        }
        bench_nt(b, 1, 131072, 1024, block[i], image);
        bench_nt(b, 1, 576, 576, block[i], image);
        bench_nt(b, 4, 1536, 576, block[i], image);
        bench_nt(b, 512, 1536, 576, block[i], image);
        bench_nt(b, 512, 576, 1536, block[i], image);
    }
}

/* ---- attention over sequences of one length ---- */

static void attention_operands(bench *b, bench_call *c, uint32_t n_seq, uint32_t len, uint32_t H, uint32_t G,
                               uint32_t K, bool grad)
{
    uint32_t T = n_seq * len, P = (len + SV_PAGE - 1) / SV_PAGE;
    int32_t *ints = sv_mem_new((2 * (size_t)T + (size_t)n_seq * P) * sizeof *ints), *seq = ints + T, *table = seq + T;
    for (uint32_t t = 0; t < T; t++) {
        ints[t] = (int32_t)(t % len);
        seq[t] = (int32_t)(t / len);
    }
    for (uint32_t i = 0; i < n_seq * P; i++)
        table[i] = (int32_t)i;
    add_in(b, c, SV_DT_F32, T, H * K, SV_IMAGE_PLAIN);
    add_in(b, c, SV_DT_F32, T, G * K, SV_IMAGE_PLAIN);
    add_in(b, c, SV_DT_F32, T, G * K, SV_IMAGE_PLAIN);
    for (uint32_t i = 0; i < 3; i++) {
        sv_tensor *t = &c->in[c->n_in++];
        if (!grad) /* pages */
            *t = sv_tensor_make(
                SV_DT_F32, 4, i ? (uint32_t[]){ n_seq * P, G, SV_PAGE, K } : (uint32_t[]){ n_seq * P, G, K, SV_PAGE });
        else if (i == 1)
            *t = sv_tensor_make(SV_DT_F32, 3, (uint32_t[]){ T, H, 2 });
        else
            *t = sv_tensor_make(SV_DT_F32, 2, (uint32_t[]){ T, H * K });
        place(b, c, t, NULL);
        if (!grad && i == 1)
            break;
    }
    add_ints(b, c, T, 0, ints);
    add_ints(b, c, T, 0, seq);
    if (!grad)
        add_ints(b, c, n_seq, P, table);
    sv_mem_free(ints);
}

static void bench_attention(bench *b)
{
    static const uint32_t shape[][5] = {
        { 50, 40, 3, 3, 32 }, { 1, 512, 9, 3, 64 }, { 1, 2048, 9, 3, 64 }, { 1, 1024, 16, 8, 128 }
    };
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t *s = shape[i];
        sv_attr_attend attr = { s[2], s[3], s[4] };
        double pairs = (double)s[0] * s[1] * (s[1] + 1) / 2 * s[2] * s[4];
        char what[96];
        text(what, sizeof what, "%u x %u, heads %u/%u of %u", s[0], s[1], s[2], s[3], s[4]);
        bench_call c = { 0 }, g = { 0 };
        attention_operands(b, &c, s[0], s[1], s[2], s[3], s[4], false);
        run(b, &c, SV_OP_attend, &attr, what, 4 * pairs, 0, b->fma, "fma");
        attention_operands(b, &g, s[0], s[1], s[2], s[3], s[4], true);
        run(b, &g, SV_OP_attend_grad, &attr, what, 10 * pairs, 0, b->fma, "fma");
    }
}

/* ---- rows ---- */

static void bench_rows(bench *b, uint32_t T, uint32_t D)
{
    static const struct {
        sv_op op;
        uint32_t n_in;
    } elem[] = { { SV_OP_add, 2 },     { SV_OP_mul, 2 },   { SV_OP_swiglu, 2 }, { SV_OP_swiglu_grad, 3 },
                 { SV_OP_softmax, 1 }, { SV_OP_sumsq, 1 }, { SV_OP_argmax, 1 }, { SV_OP_quant, 1 } };
    char what[96];
    text(what, sizeof what, "%ux%u", T, D);
    for (uint32_t i = 0; i < sizeof elem / sizeof *elem; i++) {
        if (!wanted(b, sv_opspecs[elem[i].op]->name))
            continue;
        bench_call c = { 0 };
        for (uint32_t k = 0; k < elem[i].n_in; k++)
            add_in(b, &c, SV_DT_F32, T, D, SV_IMAGE_PLAIN);
        run(b, &c, elem[i].op, NULL, what, 0, 4.0 * T * D * (elem[i].n_in + 1), 0, "");
    }
    if (!wanted(b, "rmsnorm"))
        return;
    bench_call c = { 0 }, g = { 0 };
    sv_attr_rmsnorm attr = { 1e-6f };
    add_in(b, &c, SV_DT_F32, T, D, SV_IMAGE_PLAIN);
    add_in(b, &c, SV_DT_F32, D, 0, SV_IMAGE_PLAIN);
    run(b, &c, SV_OP_rmsnorm, &attr, what, 0, 8.0 * T * D, 0, "");
    add_in(b, &g, SV_DT_F32, T, D, SV_IMAGE_PLAIN);
    add_in(b, &g, SV_DT_F32, D, 0, SV_IMAGE_PLAIN);
    add_in(b, &g, SV_DT_F32, T, D, SV_IMAGE_PLAIN);
    add_ints(b, &g, 2, 0, (int32_t[]){ 0, (int32_t)T });
    g.out[1] = sv_tensor_make(SV_DT_F32, 1, &D);
    place(b, &g, &g.out[1], NULL);
    run(b, &g, SV_OP_rmsnorm_grad, &attr, what, 0, 12.0 * T * D, 0, "");
}

int main(int argc, char **argv)
{
    bench b = { .seed = 1 };
    const char *spec = "cpu";
    sv_chip_opts opts = { 0 };
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--chip") == 0)
            spec = argv[i + 1];
        else if (strcmp(argv[i], "--threads") == 0)
            opts.n_thread = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0)
            b.only = argv[i + 1];
    }
    if (sv_chip_open(spec, &opts, &b.dev) != SV_OK) {
        fprintf(stderr, "%s: %s\n", spec, sv_err_text());
        return 4;
    }
    uint32_t n = b.dev.info.n_thread ? b.dev.info.n_thread : 1;
    double load[1] = { 0 };
    if (getloadavg(load, 1) != 1)
        load[0] = -1;
    b.fma = peak_fma(b.dev.info.variant, n);
    b.int8 = peak_int8(b.dev.info.variant, n);
    b.read = peak_read(n, (size_t)1 << 30);
    printf("{\"machine\":\"%s\",\"chip\":\"%s\",\"version\":\"%s\",\"threads\":%u,\"load\":%.2f,\"fma_gflops\":%.1f,"
           "\"int8_gops\":%.1f,\"read_gbs\":%.1f}\n",
           b.dev.info.name, b.dev.spec, b.dev.chip->version, n, load[0], b.fma * 1e-9, b.int8 * 1e-9, b.read * 1e-9);
    if (load[0] > 0.5 * n)
        fprintf(stderr, "the machine is busy (load %.1f): figures are too low\n", load[0]);
    if (wanted(&b, "matmul"))
        bench_products(&b);
    if (wanted(&b, "attend"))
        bench_attention(&b);
    bench_rows(&b, 2048, 96);
    bench_rows(&b, 2048, 256);
    bench_rows(&b, 1, 576);
    bench_rows(&b, 1, 151936);
    sv_chip_close(&b.dev);
    return 0;
}
