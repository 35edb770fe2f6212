/* SPDX-License-Identifier: Apache-2.0
 * NFC by utf8proc, applied only to the short stretches that it can change, so that marks keep their places.
 */
#include "text/nfc.h"

#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "text/unicode.h"

/* 0xCC is the first lead byte of code points from U+0300 on; everything below is its own NFC. */
enum { FIRST_LEAD = 0xcc };

bool sv_nfc_needed(sv_str valid)
{
    for (size_t i = 0; i < valid.n;) {
        uint64_t w;
        if (valid.n - i >= 8 && (memcpy(&w, valid.p + i, 8), (w & 0x8080808080808080u) == 0)) {
            i += 8;
            continue;
        }
        if ((unsigned char)valid.p[i] < FIRST_LEAD) {
            i++;
            continue;
        }
        uint32_t used;
        uint32_t f = sv_unicode_flags(sv_unicode_next(valid.p + i, &used));
        if ((f & SV_UNI_BREAK) == 0 || (f & SV_UNI_CHANGES) != 0)
            return true;
        i += used;
    }
    return false;
}

/* Appends bytes [begin, end) of m unchanged; *run is the first run that ends behind `begin`. */
static void copy(const sv_marked *m, size_t begin, size_t end, size_t *run, sv_marked *out)
{
    while (begin < end) {
        while (m->run[*run].end <= begin)
            ++*run;
        size_t stop = m->run[*run].end < end ? m->run[*run].end : end;
        sv_marked_add(out, (sv_str){ m->text.p + begin, stop - begin }, m->run[*run].trusted);
        begin = stop;
    }
}

static bool all_trusted(const sv_marked *m, size_t begin, size_t end, size_t run)
{
    while (m->run[run].end <= begin)
        run++;
    for (;; run++) {
        if (!m->run[run].trusted)
            return false;
        if (m->run[run].end >= end)
            return true;
    }
}

/* Appends NFC of one stretch. */
static sv_err compose(const sv_marked *m, size_t begin, size_t end, size_t run, sv_marked *out)
{
    const utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    const utf8proc_uint8_t *text = (const utf8proc_uint8_t *)m->text.p + begin;
    utf8proc_int32_t small[64], *cp = small;
    size_t cap = sizeof small / sizeof *small - 1;
    utf8proc_ssize_t n = utf8proc_decompose(text, (utf8proc_ssize_t)(end - begin), cp, (utf8proc_ssize_t)cap, how);
    if (n > (utf8proc_ssize_t)cap) {
        cap = (size_t)n;
        cp = sv_mem_new(sv_mem_mul_or_die(cap + 1, sizeof *cp));
        n = utf8proc_decompose(text, (utf8proc_ssize_t)(end - begin), cp, (utf8proc_ssize_t)cap, how);
    }
    if (n >= 0)
        n = utf8proc_reencode(cp, n, how); /* in place; adds a NUL, for which a place was kept */
    if (n >= 0)
        sv_marked_add(out, (sv_str){ (const char *)cp, (size_t)n }, all_trusted(m, begin, end, run));
    if (cp != small)
        sv_mem_free(cp);
    if (n < 0)
        return sv_fail(SV_E_INTERNAL, "NFC at offset %zu: utf8proc says %s", begin, utf8proc_errmsg(n));
    return SV_OK;
}

sv_err sv_nfc(const sv_marked *m, size_t begin, size_t end, size_t *run, sv_marked *out)
{
    const char *p = m->text.p;
    size_t done = begin;  /* all before it is in `out` */
    size_t start = begin; /* where a stretch that takes in the next character would begin */
    for (size_t i = begin; i < end;) {
        uint32_t used;
        uint32_t f = sv_unicode_flags(sv_unicode_next(p + i, &used));
        if ((f & SV_UNI_BREAK) != 0)
            start = (f & (SV_UNI_FIRST | SV_UNI_CHANGES)) != 0 ? i : i + used;
        i += used;
        if ((f & SV_UNI_BREAK) != 0 && (f & SV_UNI_CHANGES) == 0)
            continue;
        bool alone = i - used == start && (f & SV_UNI_CHANGES) == 0; /* nothing that it could change places with */
        for (; i < end && (sv_unicode_flags(sv_unicode_next(p + i, &used)) & SV_UNI_BREAK) == 0; i += used)
            alone = false;
        if (!alone) {
            copy(m, done, start, run, out);
            SV_TRY(compose(m, start, i, *run, out));
            done = i;
        }
        start = i;
    }
    copy(m, done, end, run, out);
    return SV_OK;
}
