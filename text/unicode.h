/* SPDX-License-Identifier: Apache-2.0
 * Classes of code points, whatever the system's libraries know, because token ids depend on them: Unicode 14.0, and 9.0
 * for NFC, as the reference tokenizer has it.
 * Threads: constant tables.
 */
#ifndef SV_TEXT_UNICODE_H
#define SV_TEXT_UNICODE_H

#include <stdint.h>

enum {
    SV_UNI_L = 1,         /* general category L*: letters */
    SV_UNI_M = 2,         /* marks */
    SV_UNI_N = 4,         /* numbers */
    SV_UNI_P = 8,         /* punctuation */
    SV_UNI_S = 16,        /* symbols */
    SV_UNI_SPACE = 32,    /* property White_Space */
    SV_UNI_BREAK = 64,    /* NFC never reorders or composes across the place before it */
    SV_UNI_CHANGES = 128, /* NFC of the code point alone is something else */
    SV_UNI_FIRST = 256    /* NFC may compose it, or parts of it, with a code point behind it */
};

/* The generated table: flags in blocks of 2^SHIFT code points, and each block's number. */
enum { SV_UNI_SHIFT = 7 };
extern const uint16_t sv_uni_index[], sv_uni_flags[];

/* The flags of a code point; 0 above U+10FFFF. */
static inline uint32_t sv_unicode_flags(uint32_t cp)
{
    if (cp > 0x10ffff)
        return 0;
    return sv_uni_flags[(uint32_t)sv_uni_index[cp >> SV_UNI_SHIFT] << SV_UNI_SHIFT | (cp & ((1u << SV_UNI_SHIFT) - 1))];
}

/* Reads one code point of text that is known to be valid UTF-8. Sets *used to 1..4. */
static inline uint32_t sv_unicode_next(const char *p, uint32_t *used)
{
    const unsigned char *s = (const unsigned char *)p;
    if (s[0] < 0x80) {
        *used = 1;
        return s[0];
    }
    if (s[0] < 0xe0) {
        *used = 2;
        return (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu);
    }
    if (s[0] < 0xf0) {
        *used = 3;
        return (s[0] & 0x0fu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
    }
    *used = 4;
    return (s[0] & 0x07u) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6 | (s[3] & 0x3fu);
}

#endif
