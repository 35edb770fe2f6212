/* SPDX-License-Identifier: Apache-2.0
 * How fast a tokenizer loads, encodes and decodes on one thread.
 *
 *     build/bench/tokenizer TOKENIZER.json TEXT [REPEATS [LOADS]]
 *
 * The text is cut into documents at the first end of a line behind each 16 KiB, as people keep them; every document is
 * one call. One JSON line: the best of the repeats (5), MB/s of text bytes, and SHA-256 of all ids as u32,
 * little-endian.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/sha.h"
#include "text/tokenizer.h"

enum { DOCUMENT = 16384 };

static void need(sv_err e, const char *what)
{
    if (e == SV_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, sv_err_text());
    exit(1);
}

/* The first document of a text. */
static sv_str document(sv_str text)
{
    if (text.n <= DOCUMENT)
        return text;
    const char *end = memchr(text.p + DOCUMENT, '\n', text.n - DOCUMENT);
    return end ? (sv_str){ text.p, (size_t)(end + 1 - text.p) } : text;
}

static double encode(const sv_tokenizer *t, sv_str text, sv_ids *ids)
{
    double start = sv_clock_s();
    ids->n = 0;
    for (sv_str rest = text; rest.n > 0;) {
        sv_str d = document(rest);
        need(sv_tokenizer_encode_plain(t, d, true, ids), "encode");
        rest.p += d.n;
        rest.n -= d.n;
    }
    return sv_clock_s() - start;
}

int main(int argc, char **argv)
{
    sv_str json, text;
    sv_tokenizer *t = NULL;
    sv_ids ids = { 0 };
    sv_bytes back = { 0 };
    double load = 1e9, to = 1e9, from = 1e9;
    if (argc < 3) {
        fprintf(stderr, "usage: tokenizer TOKENIZER.json TEXT [REPEATS [LOADS]]\n");
        return 2;
    }
    int repeats = argc > 3 ? atoi(argv[3]) : 5, loads = argc > 4 ? atoi(argv[4]) : 5;
    sv_arena *a = sv_arena_make();
    need(sv_file_read(argv[1], (size_t)1 << 27, a, &json), argv[1]);
    need(sv_file_read(argv[2], (size_t)1 << 31, a, &text), argv[2]);
    for (int i = 0; i < loads; i++) {
        sv_tokenizer_drop(t);
        double start = sv_clock_s();
        need(sv_tokenizer_from_json(json, argv[1], &t), argv[1]);
        double s = sv_clock_s() - start;
        load = s < load ? s : load;
    }
    for (int i = 0; i < repeats; i++) {
        double s = encode(t, text, &ids);
        to = s < to ? s : to;
        sv_bytes_clear(&back);
        double start = sv_clock_s();
        sv_tokenizer_decode(t, ids.id, ids.n, true, &back);
        s = sv_clock_s() - start;
        from = s < from ? s : from;
    }
    uint8_t hash[32];
    sv_sha_of((const char *)ids.id, 4 * ids.n, hash);
    printf(
        "{\"load_s\": %.4f, \"encode_mb_s\": %.2f, \"decode_mb_s\": %.2f, \"bytes\": %zu, \"ids\": %zu, \"sha256\": \"",
        load, (double)text.n / to * 1e-6, (double)text.n / from * 1e-6, text.n, ids.n);
    for (int i = 0; i < 32; i++)
        printf("%02x", hash[i]);
    printf("\", \"same_text\": %s}\n", back.n == text.n && memcmp(back.p, text.p, text.n) == 0 ? "true" : "false");
    sv_tokenizer_drop(t);
    sv_ids_done(&ids);
    sv_bytes_done(&back);
    sv_arena_drop(a);
    return 0;
}
