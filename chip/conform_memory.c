/* SPDX-License-Identifier: Apache-2.0
 * The conformance suite's groups that need no arithmetic: memory (sizes, offsets, copies) and order (a queue does
 * things one after the other; marks order two queues; a recording replays).
 */
#include <string.h>

#include "chip/conform_suite.h"
#include "num/dtype.h"

static void pattern(uint8_t *p, size_t n, uint32_t seed)
{
    uint32_t x = seed * 2654435761u + 1u;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        p[i] = (uint8_t)(x >> 24);
    }
}

/* Bytes [off, off + n) of a buffer get a pattern by put, come back by get, and their neighbours stay. */
static sv_err round_trip(sv_suite *s, sv_buffer *b, uint64_t off, size_t n)
{
    const sv_chip *chip = s->dev->chip;
    sv_queue *q = s->dev->queue;
    size_t all = b->bytes;
    uint8_t *want = sv_mem_new(all + 1), *have = sv_mem_new(all + 1), *part = sv_mem_new(n + 1);
    pattern(want, all, 1);
    pattern(part, n, (uint32_t)(off + n));
    sv_err err = chip->put(q, (sv_span){ b, 0 }, want, all);
    if (err == SV_OK)
        err = chip->put(q, (sv_span){ b, off }, part, n);
    memcpy(want + off, part, n);
    memset(part, 0x5a, n); /* put has taken it */
    if (err == SV_OK)
        err = chip->get(q, have, (sv_span){ b, 0 }, all);
    if (err == SV_OK)
        err = chip->get(q, part, (sv_span){ b, off }, n);
    if (err == SV_OK)
        err = chip->wait(q);
    s->result->n_case++;
    if (err == SV_OK && (memcmp(want, have, all) != 0 || memcmp(want + off, part, n) != 0))
        sv_suite_fail(s, "memory", "%zu bytes put at %llu of a buffer of %zu come back changed", n,
                      (unsigned long long)off, all);
    sv_mem_free(want);
    sv_mem_free(have);
    sv_mem_free(part);
    return err;
}

static sv_err test_sizes(sv_suite *s)
{
    static const size_t size[] = { 0, 1, 2, 3, 4, 5, 63, 64, 65, 4095, 4096, 4097, 1000003 };
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        sv_buffer *b = NULL;
        sv_err err = s->dev->chip->alloc(s->dev->device, size[i], &b);
        if (err != SV_OK)
            return sv_fail_in(err, "a buffer of %zu bytes: ", size[i]);
        if (b->bytes < size[i])
            sv_suite_fail(s, "memory", "a buffer of %zu bytes says it has %llu", size[i], (unsigned long long)b->bytes);
        if ((b->host != NULL) != s->dev->info.host_memory && size[i] > 0)
            sv_suite_fail(s, "memory", "host_memory is %s, and a buffer's host is %s",
                          s->dev->info.host_memory ? "set" : "not set", b->host != NULL ? "set" : "NULL");
        static const size_t off[] = { 0, 1, 3, 64, 4001 }, n[] = { 0, 1, 7, 64, 90001 };
        for (size_t j = 0; j < 25 && err == SV_OK; j++)
            if (off[j / 5] <= size[i] && n[j % 5] <= size[i] - off[j / 5])
                err = round_trip(s, b, off[j / 5], n[j % 5]);
        s->dev->chip->free(s->dev->device, b);
        SV_TRY(err);
    }
    return SV_OK;
}

/* Many buffers at once do not share bytes. */
static sv_err test_apart(sv_suite *s)
{
    enum { N = 17, BYTES = 1003 };
    sv_buffer *b[N] = { 0 };
    uint8_t want[BYTES], have[BYTES];
    const sv_chip *chip = s->dev->chip;
    sv_err err = SV_OK;
    for (uint32_t i = 0; i < N && err == SV_OK; i++) {
        err = chip->alloc(s->dev->device, BYTES, &b[i]);
        pattern(want, BYTES, i);
        if (err == SV_OK)
            err = chip->put(s->dev->queue, (sv_span){ b[i], 0 }, want, BYTES);
    }
    for (uint32_t i = 0; i < N && err == SV_OK; i++) {
        err = chip->get(s->dev->queue, have, (sv_span){ b[i], 0 }, BYTES);
        if (err == SV_OK)
            err = chip->wait(s->dev->queue);
        pattern(want, BYTES, i);
        s->result->n_case++;
        if (err == SV_OK && memcmp(want, have, BYTES) != 0)
            sv_suite_fail(s, "memory", "buffer %u of %d was changed by writes to others", i, N);
    }
    for (uint32_t i = 0; i < N; i++)
        if (b[i] != NULL)
            chip->free(s->dev->device, b[i]);
    return err;
}

static sv_err copy_case(sv_suite *s, sv_buffer *a, sv_buffer *b, uint64_t to, uint64_t from, size_t n)
{
    enum { BYTES = 9000 };
    static uint8_t x[BYTES], y[BYTES], have[BYTES];
    const sv_chip *chip = s->dev->chip;
    sv_queue *q = s->dev->queue;
    pattern(x, BYTES, 5);
    pattern(y, BYTES, 6);
    SV_TRY(chip->put(q, (sv_span){ a, 0 }, x, BYTES));
    if (a != b)
        SV_TRY(chip->put(q, (sv_span){ b, 0 }, y, BYTES));
    SV_TRY(chip->copy(q, (sv_span){ b, to }, (sv_span){ a, from }, n));
    SV_TRY(chip->get(q, have, (sv_span){ b, 0 }, BYTES));
    SV_TRY(chip->wait(q));
    uint8_t *want = a != b ? y : x;
    memmove(want + to, x + from, n);
    s->result->n_case++;
    if (memcmp(want, have, BYTES) != 0)
        sv_suite_fail(s, "memory", "copy of %zu bytes from %llu to %llu of %s buffer is wrong", n,
                      (unsigned long long)from, (unsigned long long)to, a != b ? "another" : "the same");
    return SV_OK;
}

static sv_err test_copy(sv_suite *s)
{
    static const struct {
        uint16_t to, from, n;
    } c[] = { { 0, 0, 9000 },     { 0, 0, 0 },     { 1, 0, 8999 },    { 0, 1, 8999 },
              { 4096, 64, 1024 }, { 17, 4099, 1 }, { 64, 4096, 4096 } };
    sv_buffer *a = NULL, *b = NULL;
    SV_TRY(s->dev->chip->alloc(s->dev->device, 9000, &a));
    sv_err err = s->dev->chip->alloc(s->dev->device, 9000, &b);
    for (size_t i = 0; i < sizeof c / sizeof *c && err == SV_OK; i++)
        err = copy_case(s, a, b, c[i].to, c[i].from, c[i].n);
    if (err == SV_OK) /* within a buffer, apart */
        err = copy_case(s, a, a, 4500, 0, 4500);
    s->dev->chip->free(s->dev->device, a);
    if (b != NULL)
        s->dev->chip->free(s->dev->device, b);
    return err;
}

sv_err sv_suite_memory(sv_suite *s)
{
    SV_TRY(test_sizes(s));
    SV_TRY(test_apart(s));
    return test_copy(s);
}

/* Order. */

enum { ITEMS = 300 }; /* floats of an operand */

/* put, copy and get on the same bytes happen in the order of the calls, without a wait between. */
static sv_err test_queue(sv_suite *s, sv_buffer *b)
{
    uint8_t one[512], two[512], first[512], second[512];
    const sv_chip *chip = s->dev->chip;
    sv_queue *q = s->dev->queue;
    sv_span x = { b, 0 }, y = { b, 4096 };
    pattern(one, sizeof one, 1);
    pattern(two, sizeof two, 2);
    SV_TRY(chip->put(q, x, one, sizeof one));
    SV_TRY(chip->copy(q, y, x, sizeof one));
    SV_TRY(chip->put(q, x, two, sizeof two));
    SV_TRY(chip->get(q, first, y, sizeof first));
    SV_TRY(chip->copy(q, y, x, sizeof two));
    SV_TRY(chip->get(q, second, y, sizeof second));
    SV_TRY(chip->wait(q));
    s->result->n_case++;
    if (memcmp(first, one, sizeof one) != 0 || memcmp(second, two, sizeof two) != 0)
        sv_suite_fail(s, "order", "put, copy and get do not happen in the order of the calls");
    return chip->wait(q); /* waiting for nothing is fine */
}

static sv_tensor vector(sv_buffer *b, uint64_t off)
{
    sv_tensor t = sv_tensor_make(SV_DT_F32, 2, (uint32_t[]){ 1, ITEMS });
    t.at = (sv_span){ b, off };
    return t;
}

/* y = ((a + a) + a) + ... n times, each call reading what the one before wrote. */
static sv_err enqueue_chain(sv_suite *s, sv_buffer *b, sv_buffer *scratch, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        sv_tensor in[2] = { vector(b, i == 0 ? 0 : 4096 * (1 + i % 2)), vector(b, 0) };
        sv_tensor out = vector(b, 4096 * (1 + (i + 1) % 2));
        sv_call call = { SV_OP_add, 2, 1, in, &out, NULL };
        const sv_kernel *row = sv_chip_row(s->dev->chip, &call);
        SV_TRY(row->run(s->dev->queue, &call, (sv_span){ scratch, 0 }));
    }
    return SV_OK;
}

static sv_err check_chain(sv_suite *s, const char *what, const float *a, const float *have, uint32_t n)
{
    s->result->n_case++;
    for (uint32_t i = 0; i < ITEMS; i++) {
        float y = a[i];
        for (uint32_t j = 0; j < n; j++)
            y = y + a[i];
        if (sv_f32_bits(y) != sv_f32_bits(have[i])) {
            sv_suite_fail(s, "order", "%s: item %u of a chain of %u adds: chip %08x, law %08x", what, i, n,
                          sv_f32_bits(have[i]), sv_f32_bits(y));
            return SV_OK;
        }
    }
    return SV_OK;
}

static void numbers(float *a, uint32_t seed)
{
    sv_data_key key = { seed, 0, 0 };
    sv_buffer host = { a, ITEMS * 4 };
    sv_tensor t = vector(&host, 0);
    sv_data_fill(&t, SV_DATA_NORMAL, &key);
}

static sv_err test_rows(sv_suite *s, sv_buffer *b, sv_buffer *scratch)
{
    float a[ITEMS], have[ITEMS];
    const uint32_t n = 20;
    numbers(a, 3);
    SV_TRY(s->dev->chip->put(s->dev->queue, (sv_span){ b, 0 }, a, sizeof a));
    SV_TRY(enqueue_chain(s, b, scratch, n));
    SV_TRY(s->dev->chip->get(s->dev->queue, have, (sv_span){ b, 4096 * (1 + n % 2) }, sizeof have));
    SV_TRY(s->dev->chip->wait(s->dev->queue));
    return check_chain(s, "rows", a, have, n);
}

/* A recording reads and writes the same places with the numbers that are there when it is replayed. */
static sv_err test_replay(sv_suite *s, sv_buffer *b, sv_buffer *scratch)
{
    const sv_chip *chip = s->dev->chip;
    sv_queue *q = s->dev->queue;
    float a[ITEMS], have[ITEMS];
    const uint32_t n = 7;
    sv_replay *r = NULL;
    SV_TRY(chip->record(q));
    sv_err err = enqueue_chain(s, b, scratch, n);
    sv_err sealed = chip->seal(q, &r);
    SV_TRY(err);
    SV_TRY(sealed);
    for (uint32_t turn = 0; turn < 3 && err == SV_OK; turn++) {
        numbers(a, 10 + turn);
        err = chip->put(q, (sv_span){ b, 0 }, a, sizeof a);
        if (err == SV_OK)
            err = chip->replay(q, r);
        if (err == SV_OK)
            err = chip->get(q, have, (sv_span){ b, 4096 * (1 + n % 2) }, sizeof have);
        if (err == SV_OK)
            err = chip->wait(q);
        if (err == SV_OK)
            err = check_chain(s, "replay", a, have, n);
    }
    chip->replay_drop(r);
    return err;
}

/* A second queue that goes after a mark sees what came before the mark. */
static sv_err test_marks(sv_suite *s, sv_buffer *b)
{
    const sv_chip *chip = s->dev->chip;
    uint8_t one[512], have[512];
    sv_queue *other = NULL;
    sv_mark *m = NULL;
    pattern(one, sizeof one, 7);
    SV_TRY(chip->queue_open(s->dev->device, &other));
    sv_err err = chip->put(s->dev->queue, (sv_span){ b, 0 }, one, sizeof one);
    if (err == SV_OK)
        err = chip->mark(s->dev->queue, &m);
    if (err == SV_OK)
        err = chip->after(other, m);
    if (err == SV_OK)
        err = chip->get(other, have, (sv_span){ b, 0 }, sizeof have);
    if (err == SV_OK)
        err = chip->wait(other);
    s->result->n_case++;
    if (err == SV_OK && memcmp(one, have, sizeof one) != 0)
        sv_suite_fail(s, "order", "a queue that goes after a mark does not see what came before it");
    if (m != NULL)
        chip->mark_drop(m);
    chip->queue_close(other);
    return err != SV_OK ? err : chip->wait(s->dev->queue);
}

sv_err sv_suite_order(sv_suite *s)
{
    const sv_chip *chip = s->dev->chip;
    sv_buffer *b = NULL, *scratch = NULL;
    SV_TRY(chip->alloc(s->dev->device, 3 * 4096, &b));
    sv_tensor in[2] = { vector(b, 0), vector(b, 0) }, out = vector(b, 4096);
    sv_call call = { SV_OP_add, 2, 1, in, &out, NULL };
    const sv_kernel *row = s->dev->info.is_exact ? sv_chip_row(chip, &call) : NULL;
    size_t n = row != NULL && row->scratch_bytes != NULL ? row->scratch_bytes(&call) : 0;
    sv_err err = chip->alloc(s->dev->device, n + 4, &scratch);
    if (err == SV_OK)
        err = test_queue(s, b);
    if (err == SV_OK && row != NULL)
        err = test_rows(s, b, scratch);
    if (err == SV_OK && row != NULL && chip->record != NULL)
        err = test_replay(s, b, scratch);
    if (err == SV_OK && chip->mark != NULL)
        err = test_marks(s, b);
    if (scratch != NULL)
        chip->free(s->dev->device, scratch);
    chip->free(s->dev->device, b);
    return err;
}
