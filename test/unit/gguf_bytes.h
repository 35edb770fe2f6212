/* SPDX-License-Identifier: Apache-2.0
 * For tests: GGUF files put together field by field, right or wrong.
 */
#ifndef SV_TEST_GGUF_BYTES_H
#define SV_TEST_GGUF_BYTES_H

#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"

/* Dimensions as in the file: innermost first. */
#define DIMS(...) ((const uint64_t[]){ __VA_ARGS__ })

typedef struct file {
    sv_bytes b;
} file;

static inline void u32(file *f, uint32_t v)
{
    uint8_t raw[4];
    sv_store_u32(raw, v);
    sv_bytes_add(&f->b, raw, 4);
}

static inline void u64(file *f, uint64_t v)
{
    uint8_t raw[8];
    sv_store_u64(raw, v);
    sv_bytes_add(&f->b, raw, 8);
}

static inline void text(file *f, const char *s, size_t n)
{
    u64(f, n);
    sv_bytes_add(&f->b, s, n);
}

static inline file head(uint32_t version, uint64_t n_tensor, uint64_t n_key)
{
    file f = { { 0 } };
    sv_bytes_text(&f.b, "GGUF");
    u32(&f, version);
    u64(&f, n_tensor);
    u64(&f, n_key);
    return f;
}

static inline void key(file *f, const char *name, uint32_t type)
{
    text(f, name, strlen(name));
    u32(f, type);
}

static inline void key_u32(file *f, const char *name, uint32_t v)
{
    key(f, name, SV_GGUF_U32);
    u32(f, v);
}

static inline void info(file *f, const char *name, uint32_t n_dim, const uint64_t *dim, uint32_t type, uint64_t offset)
{
    text(f, name, strlen(name));
    u32(f, n_dim);
    for (uint32_t i = 0; i < n_dim; i++)
        u64(f, dim[i]);
    u32(f, type);
    u64(f, offset);
}

static inline void pad(file *f, size_t to)
{
    while (f->b.n % to)
        sv_bytes_char(&f->b, '\0');
}

static inline void fill(file *f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sv_bytes_char(&f->b, (char)(uint8_t)(i + 1));
}

static inline sv_err open_raw(const void *p, size_t n, sv_gguf **g)
{
    uint8_t *exact = malloc(n ? n : 1); /* its own block: a read behind the end is seen by the sanitizer */
    if (n)
        memcpy(exact, p, n);
    sv_err e = sv_gguf_open_bytes(exact, n, "x.gguf", g);
    if (e == SV_OK)
        sv_arena_defer((*g)->arena, free, exact);
    else
        free(exact);
    return e;
}

/* Opens, drops both. */
static inline sv_err try_file(file f)
{
    sv_gguf *g = NULL;
    sv_err e = open_raw(f.b.p, f.b.n, &g);
    sv_bytes_done(&f.b);
    if (e == SV_OK)
        sv_gguf_close(g);
    return e;
}

static inline file sample(uint32_t version)
{
    file f = head(version, 2, 6);
    key(&f, "s", SV_GGUF_STRING);
    text(&f, "h\0i", 3);
    key(&f, "neg", SV_GGUF_I8);
    sv_bytes_char(&f.b, (char)0xfe);
    key(&f, "real", SV_GGUF_F32);
    u32(&f, 0x3fc00000);
    key(&f, "yes", SV_GGUF_BOOL);
    sv_bytes_char(&f.b, 1);
    key(&f, "list", SV_GGUF_ARRAY);
    u32(&f, SV_GGUF_STRING);
    u64(&f, 2);
    text(&f, "a", 1);
    text(&f, "", 0);
    key(&f, "halves", SV_GGUF_ARRAY);
    u32(&f, SV_GGUF_U16);
    u64(&f, 2);
    u32(&f, 0xffff0001u);
    info(&f, "w", 2, (const uint64_t[]){ 32, 2 }, 8, 32);
    info(&f, "v", 1, (const uint64_t[]){ 3 }, 0, 0);
    pad(&f, 32);
    fill(&f, 12);
    pad(&f, 32);
    fill(&f, 68);
    return f;
}

#endif
