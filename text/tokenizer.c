/* SPDX-License-Identifier: Apache-2.0
 * Encoding and decoding with a tokenizer, and what others ask of it.
 */
#include "text/tokenizer.h"

#include <string.h>

#include "base/mem.h"
#include "base/sha.h"
#include "text/nfc.h"
#include "text/tokenizer_impl.h"

sv_tokenizer *sv_tokenizer_new(const char *name)
{
    sv_tokenizer *t = sv_mem_new(sizeof *t);
    t->name = sv_mem_text(name);
    t->split = sv_pretok_make();
    t->added[0] = sv_added_make();
    t->added[1] = sv_added_make();
    t->by_content = sv_map_make(64);
    t->bos_id = -1;
    pthread_mutex_init(&t->lock, NULL);
    pthread_mutex_init(&t->idle_lock, NULL);
    return t;
}

void sv_tokenizer_drop(sv_tokenizer *t)
{
    if (!t)
        return;
    sv_mem_free(t->name);
    sv_bpe_drop(t->bpe);
    sv_pretok_drop(t->split);
    sv_added_drop(t->added[0]);
    sv_added_drop(t->added[1]);
    sv_map_drop(t->by_content);
    sv_bytes_done(&t->json);
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->idle_lock);
    for (uint32_t i = 0; i < t->n_idle; i++)
        sv_bpe_work_done(&t->idle[i]);
    sv_mem_free(t);
}

sv_str sv_tokenizer_json(const sv_tokenizer *t)
{
    sv_tokenizer *lazy = (sv_tokenizer *)(uintptr_t)t; /* the text is a cache behind a lock: t stays constant outside */
    pthread_mutex_lock(&lazy->lock);
    if (!lazy->have_json)
        sv_tokenizer_write(lazy);
    lazy->have_json = true;
    pthread_mutex_unlock(&lazy->lock);
    return (sv_str){ t->json.p, t->json.n };
}

void sv_tokenizer_hash(const sv_tokenizer *t, uint8_t out[32])
{
    sv_str json = sv_tokenizer_json(t);
    const char *unicode = sv_pretok_pcre_unicode(t->split);
    sv_sha *s = sv_sha_make();
    sv_sha_add(s, json.p, json.n);
    if (unicode)
        sv_sha_add(s, unicode, strlen(unicode));
    sv_sha_end(s, out);
}

uint32_t sv_tokenizer_count(const sv_tokenizer *t)
{
    return sv_bpe_count(t->bpe);
}

bool sv_tokenizer_find(const sv_tokenizer *t, sv_str token, uint32_t *id)
{
    return sv_map_get(t->by_content, token, id);
}

bool sv_tokenizer_is_special(const sv_tokenizer *t, uint32_t id)
{
    return (sv_bpe_flags(t->bpe, id) & SV_TOKEN_SPECIAL) != 0;
}

sv_str sv_tokenizer_piece(const sv_tokenizer *t, uint32_t id)
{
    return sv_bpe_piece(t->bpe, id);
}

void sv_ids_done(sv_ids *ids)
{
    sv_mem_free(ids->id);
    *ids = (sv_ids){ 0 };
}

/* One call of encode. */
typedef struct work {
    const sv_tokenizer *t;
    sv_ids *out;
    sv_bpe_work bpe;
    sv_marked normal;
    size_t at; /* where the text that is being split begins */
} work;

/* Buffers, warm ones if there are any. What they hold changes no id: t stays constant outside. */
static sv_bpe_work take_work(const sv_tokenizer *t)
{
    sv_tokenizer *pool = (sv_tokenizer *)(uintptr_t)t;
    sv_bpe_work w = { 0 };
    pthread_mutex_lock(&pool->idle_lock);
    if (pool->n_idle > 0)
        w = pool->idle[--pool->n_idle];
    pthread_mutex_unlock(&pool->idle_lock);
    return w;
}

static void give_work(const sv_tokenizer *t, sv_bpe_work *w)
{
    enum { MOST_KEPT = 1 << 16 };
    sv_tokenizer *pool = (sv_tokenizer *)(uintptr_t)t;
    bool kept = false;
    if (w->cap <= MOST_KEPT && w->cap_heap <= MOST_KEPT) {
        pthread_mutex_lock(&pool->idle_lock);
        kept = pool->n_idle < SV_TOKENIZER_IDLE;
        if (kept)
            pool->idle[pool->n_idle++] = *w;
        pthread_mutex_unlock(&pool->idle_lock);
    }
    if (!kept)
        sv_bpe_work_done(w);
}

static sv_err encode_piece(void *arg, sv_str piece, size_t at)
{
    work *w = arg;
    size_t bad;
    if (piece.n >= UINT32_MAX)
        return sv_fail(SV_E_LIMIT, "%s: a piece of %zu bytes without a place to split", w->t->name, piece.n);
    if (sv_bpe_encode(w->t->bpe, piece, &w->bpe, w->out, &bad))
        return SV_OK;
    return sv_fail(SV_E_FORMAT,
                   "%s: the byte 0x%02x at offset %zu has no token in this vocabulary; remove it from the text",
                   w->t->name, (unsigned char)piece.p[bad], w->at + at + bad);
}

static sv_err encode_text(work *w, const sv_marked *m, size_t begin, size_t end)
{
    w->at = begin;
    sv_bpe_work_text(&w->bpe, (sv_str){ m->text.p + begin, end - begin });
    return sv_pretok_run(w->t->split, (sv_str){ m->text.p + begin, end - begin }, encode_piece, w);
}

static sv_err encode_gap(work *w, const sv_marked *m, size_t begin, size_t end, size_t run[2]);

/* Cuts at the added tokens of one of the two kinds: 0 then normalises what lies between them, 1 splits it.
 * run: cursors over m's runs, which only move forward. */
static sv_err encode_around(work *w, int kind, const sv_marked *m, size_t begin, size_t end, size_t run[2])
{
    sv_added_match found;
    while (begin < end) {
        bool more = sv_added_next(w->t->added[kind], m, begin, end, &run[kind], &found);
        size_t stop = more ? found.begin : end;
        if (stop > begin)
            SV_TRY(kind == 0 ? encode_gap(w, m, begin, stop, run) : encode_text(w, m, begin, stop));
        if (!more)
            break;
        SV_PUSH(w->out->id, w->out->n, w->out->cap, found.id);
        begin = found.end;
    }
    return SV_OK;
}

static sv_err encode_gap(work *w, const sv_marked *m, size_t begin, size_t end, size_t run[2])
{
    if (!w->t->nfc || !sv_nfc_needed((sv_str){ m->text.p + begin, end - begin }))
        return encode_around(w, 1, m, begin, end, run);
    sv_marked_clear(&w->normal);
    SV_TRY(sv_nfc(m, begin, end, &run[1], &w->normal));
    return encode_around(w, 1, &w->normal, 0, w->normal.text.n, (size_t[2]){ 0, 0 });
}

sv_err sv_tokenizer_encode(const sv_tokenizer *t, const sv_marked *text, sv_ids *out)
{
    size_t bad, before = out->n;
    if (text->text.n == 0)
        return SV_OK;
    if (!sv_utf8_valid(text->text.p, text->text.n, &bad))
        return sv_fail(SV_E_FORMAT, "%s: the text is not UTF-8 at offset %zu (byte 0x%02x)", t->name, bad,
                       (unsigned char)text->text.p[bad]);
    work w = { .t = t, .out = out, .bpe = take_work(t) };
    sv_err e = encode_around(&w, 0, text, 0, text->text.n, (size_t[2]){ 0, 0 });
    give_work(t, &w.bpe);
    sv_marked_done(&w.normal);
    if (e != SV_OK)
        out->n = before;
    return e;
}

sv_err sv_tokenizer_encode_plain(const sv_tokenizer *t, sv_str text, bool trusted, sv_ids *out)
{
    sv_run run = { text.n, trusted };
    sv_marked m = { .text = { (char *)(uintptr_t)text.p, text.n, text.n }, .run = &run, .n_run = 1, .cap_run = 1 };
    return sv_tokenizer_encode(t, &m, out); /* reads only */
}

void sv_decoder_init(sv_decoder *d, const sv_tokenizer *t, bool show_special)
{
    *d = (sv_decoder){ .t = t, .show_special = show_special };
}

/* Appends valid UTF-8: each maximal invalid part becomes U+FFFD. */
static void put_repaired(const char *p, size_t n, sv_bytes *out)
{
    size_t bad;
    while (n > 0 && !sv_utf8_valid(p, n, &bad)) {
        size_t used;
        sv_bytes_add(out, p, bad);
        sv_utf8_next(p + bad, n - bad, &used);
        sv_bytes_text(out, "\xef\xbf\xbd");
        p += bad + used;
        n -= bad + used;
    }
    sv_bytes_add(out, p, n);
}

void sv_decoder_put(sv_decoder *d, uint32_t id, sv_bytes *out)
{
    if (!d->show_special && sv_tokenizer_is_special(d->t, id))
        return;
    sv_str piece = sv_tokenizer_piece(d->t, id);
    /* Complete the held character byte by byte; at most three are missing, and a fault empties `held` too. */
    while (d->n_held > 0 && piece.n > 0) {
        d->held[d->n_held++] = *piece.p++;
        piece.n--;
        size_t tail = sv_utf8_tail(d->held, d->n_held);
        put_repaired(d->held, d->n_held - tail, out);
        memmove(d->held, d->held + d->n_held - tail, tail);
        d->n_held = (uint32_t)tail;
    }
    size_t tail = sv_utf8_tail(piece.p, piece.n);
    put_repaired(piece.p, piece.n - tail, out);
    memcpy(d->held + d->n_held, piece.p + piece.n - tail, tail);
    d->n_held += (uint32_t)tail;
}

void sv_decoder_end(sv_decoder *d, sv_bytes *out)
{
    put_repaired(d->held, d->n_held, out);
    d->n_held = 0;
}

void sv_tokenizer_decode(const sv_tokenizer *t, const uint32_t *id, size_t n, bool show_special, sv_bytes *out)
{
    sv_decoder d;
    sv_decoder_init(&d, t, show_special);
    uint32_t hidden = show_special ? 0 : SV_TOKEN_SPECIAL;
    for (size_t i = 0; i < n; i++) {
        if (d.n_held == 0)
            i += sv_bpe_text(t->bpe, id + i, n - i, hidden, out);
        if (i < n)
            sv_decoder_put(&d, id[i], out);
    }
    sv_decoder_end(&d, out);
}
