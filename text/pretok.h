/* SPDX-License-Identifier: Apache-2.0
 * Splits text into pieces before merging: a list of rules, each working inside the pieces of the one before.
 * A rule that a scanner knows runs there; any other regular expression runs in PCRE2.
 * Limits: 16 rules, patterns of 4 KiB, 10^7 match steps, 1 MiB of match stack. Threads: constant once made, then
 * shared.
 */
#ifndef SV_TEXT_PRETOK_H
#define SV_TEXT_PRETOK_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "text/scan.h"

typedef struct sv_pretok sv_pretok;

sv_pretok *sv_pretok_make(void);
void sv_pretok_drop(sv_pretok *p); /* NULL is fine */
sv_err sv_pretok_add_scan(sv_pretok *p, sv_scan kind);
/* SV_E_FORMAT: not a regular expression; SV_E_LIMIT: too long, or too many rules. `name` stands in messages. */
sv_err sv_pretok_add_regex(sv_pretok *p, sv_str regex, const char *name);
/* The same, but in PCRE2 even when a scanner knows the rule: the second engine of the differential test. */
sv_err sv_pretok_add_pcre(sv_pretok *p, sv_str regex, const char *name);
/* PCRE2's own version of Unicode when a rule runs there, else NULL: it belongs to the tokenizer's hash. */
const char *sv_pretok_pcre_unicode(const sv_pretok *p);

/* Called for each piece, in order; `at` is its offset in the text. An error ends the run and is given back. */
typedef sv_err (*sv_piece_fn)(void *arg, sv_str piece, size_t at);
/* text is valid UTF-8. The pieces are not empty and together are the text. SV_E_LIMIT: PCRE2 gave up. */
sv_err sv_pretok_run(const sv_pretok *p, sv_str text, sv_piece_fn fn, void *arg);

#endif
