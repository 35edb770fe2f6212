/* SPDX-License-Identifier: Apache-2.0
 * Added tokens: strings that become one id wherever they stand in trusted text.
 * Threads: constant once filled, then shared.
 */
#ifndef SV_TEXT_ADDED_H
#define SV_TEXT_ADDED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "text/marked.h"

enum { SV_ADDED_MAX_BYTES = 1024 };

typedef struct sv_added sv_added; /* a trie over bytes */
sv_added *sv_added_make(void);
void sv_added_drop(sv_added *a); /* NULL is fine */
/* SV_E_FORMAT: empty, or there already; SV_E_LIMIT: longer than SV_ADDED_MAX_BYTES. `name` stands in messages. */
sv_err sv_added_put(sv_added *a, sv_str content, uint32_t id, const char *name);
bool sv_added_empty(const sv_added *a);
bool sv_added_find(const sv_added *a, sv_str content, uint32_t *id);

typedef struct sv_added_match {
    size_t begin, end;
    uint32_t id;
} sv_added_match;
/* The leftmost, then longest, added token in bytes [begin, end) of m whose bytes lie wholly in one trusted run. *run is
 * a cursor over m's runs: 0 before the first call, then kept for calls with a larger `begin`. */
bool sv_added_next(const sv_added *a, const sv_marked *m, size_t begin, size_t end, size_t *run, sv_added_match *out);

#endif
