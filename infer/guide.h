/* SPDX-License-Identifier: Apache-2.0
 * Which tokens may come next, so that an answer's bytes stay in a grammar: an automaton over bytes that is made as it
 * is walked, and a mask of the vocabulary for each of its states. What is allowed follows from grammar and text alone.
 * Threads: a guide and its places are used by one thread at a time; hold and drop are safe from any.
 */
#ifndef SV_INFER_GUIDE_H
#define SV_INFER_GUIDE_H

#include "infer/gram.h"
#include "infer/vocab.h"

typedef struct sv_guide sv_guide;

/* Takes the grammar. The vocabulary is borrowed. One holder. */
sv_guide *sv_guide_make(sv_gram *g, const sv_vocab *v);
void sv_guide_hold(sv_guide *d);
void sv_guide_drop(sv_guide *d); /* NULL is fine */

/* Where a text stands. */
typedef struct sv_guide_at {
    uint32_t state, era;
} sv_guide_at;
sv_guide_at sv_guide_start(sv_guide *d);

/* After the ids of a text [n]; from *at, which stands behind the first n_known of them, unless the guide has forgotten
 * that place. False: the text has left the grammar. */
bool sv_guide_follow(sv_guide *d, sv_guide_at *at, const uint32_t *id, uint32_t n_known, uint32_t n);
/* After these bytes. */
bool sv_guide_put(sv_guide *d, sv_guide_at *at, sv_str text);

/* The text may end here; it must. */
bool sv_guide_may_end(const sv_guide *d, sv_guide_at at);
bool sv_guide_must_end(const sv_guide *d, sv_guide_at at);
/* A bit for each token that may come next, valid until the next call. Returns how many there are. */
uint32_t sv_guide_mask(sv_guide *d, sv_guide_at at, const uint64_t **mask);
/* Forbids in z [n] what the mask does not allow: -inf. Ids of `end` stay when the text may end. */
void sv_guide_forbid(sv_guide *d, sv_guide_at at, const uint32_t *end, uint32_t n_end, float *z, uint32_t n);

#endif
