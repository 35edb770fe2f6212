/* SPDX-License-Identifier: Apache-2.0
 * Unicode normalisation form C of a text with marks. Threads: no shared state.
 */
#ifndef SV_TEXT_NFC_H
#define SV_TEXT_NFC_H

#include <stdbool.h>

#include "base/err.h"
#include "text/marked.h"

/* False only when NFC cannot change the text (no code point from U+0300 on that reorders, composes or decomposes). */
bool sv_nfc_needed(sv_str valid);
/* Appends NFC of the bytes [begin, end) of m, which are valid UTF-8. What several characters became is trusted only
 * when all of them were. *run is a cursor over m's runs: 0 before the first call, then kept for calls with a larger
 * `begin`. */
sv_err sv_nfc(const sv_marked *m, size_t begin, size_t end, size_t *run, sv_marked *out);

#endif
