/* SPDX-License-Identifier: Apache-2.0
 * The byte-level alphabet: every byte as a printable character, as vocabularies write their tokens.
 * Bytes 21-7E, A1-AC, AE-FF are themselves; the other 68, ascending, are U+0100 + n. Threads: no state.
 */
#ifndef SV_TEXT_BYTELEVEL_H
#define SV_TEXT_BYTELEVEL_H

#include <stdbool.h>

#include "base/str.h"

/* Appends the bytes that the name stands for. False: a character outside the alphabet; nothing was appended. */
bool sv_bytelevel_decode(sv_str name, sv_bytes *out);
void sv_bytelevel_encode(sv_str bytes, sv_bytes *out);

#endif
