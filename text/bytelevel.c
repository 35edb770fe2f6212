/* SPDX-License-Identifier: Apache-2.0
 * The byte-level alphabet in both directions.
 */
#include "text/bytelevel.h"

#include <stdint.h>

/* Bytes that are not their own character: 00-20, 7F-A0, AD. */
static bool is_hidden(uint32_t byte)
{
    return byte <= 0x20 || (byte >= 0x7f && byte <= 0xa0) || byte == 0xad;
}

static uint32_t char_of(uint32_t byte)
{
    if (!is_hidden(byte))
        return byte;
    if (byte <= 0x20)
        return 0x100 + byte;
    return byte == 0xad ? 0x143 : 0x121 + byte - 0x7f;
}

/* The byte, or 256 when the character is not in the alphabet. */
static uint32_t byte_of(uint32_t cp)
{
    if (cp < 0x100)
        return is_hidden(cp) ? 256 : cp;
    if (cp <= 0x120)
        return cp - 0x100;
    if (cp <= 0x142)
        return cp - 0x121 + 0x7f;
    return cp == 0x143 ? 0xad : 256;
}

bool sv_bytelevel_decode(sv_str name, sv_bytes *out)
{
    size_t before = out->n;
    sv_bytes_add(out, name.p, name.n); /* makes room: no name is shorter than its bytes */
    char *to = out->p + before;
    for (size_t i = 0; i < name.n; i++) {
        /* The alphabet is U+0021 to U+0143: one or two bytes of UTF-8. */
        uint32_t c = (unsigned char)name.p[i], byte;
        if (c < 0x80)
            byte = c > 0x20 && c < 0x7f ? c : 256;
        else if (c < 0xc2 || c > 0xc5 || i + 1 == name.n || ((unsigned char)name.p[i + 1] & 0xc0) != 0x80)
            byte = 256;
        else
            byte = byte_of((c & 0x1f) << 6 | ((unsigned char)name.p[++i] & 0x3f));
        if (byte > 255) {
            out->n = before;
            out->p[before] = 0;
            return false;
        }
        *to++ = (char)byte;
    }
    out->n = (size_t)(to - out->p);
    *to = 0;
    return true;
}

void sv_bytelevel_encode(sv_str bytes, sv_bytes *out)
{
    for (size_t i = 0; i < bytes.n; i++) {
        char utf8[4];
        sv_bytes_add(out, utf8, sv_utf8_put(char_of((unsigned char)bytes.p[i]), utf8));
    }
}
