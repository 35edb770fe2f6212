/* SPDX-License-Identifier: Apache-2.0
 * What a tokenizer is made of; for the files that make, write and use one.
 */
#ifndef SV_TEXT_TOKENIZER_IMPL_H
#define SV_TEXT_TOKENIZER_IMPL_H

#include <pthread.h>

#include "base/map.h"
#include "text/added.h"
#include "text/bpe.h"
#include "text/pretok.h"
#include "text/tokenizer.h"

/* The parts of a model family that a GGUF file names with one word. */
typedef struct sv_pre_family {
    const char *pre; /* tokenizer.ggml.pre */
    sv_scan scan[3];
    bool nfc, ignore_merges;
} sv_pre_family;

enum { SV_TOKENIZER_IDLE = 8 };
struct sv_tokenizer {
    char *name;
    sv_bpe *bpe;
    sv_pretok *split;
    bool nfc;
    sv_added *added[2]; /* found in raw text; found in normalised text */
    sv_map *by_content; /* added tokens by their content as given */
    /* The tokenizer.json: given, or written when first asked for. */
    pthread_mutex_t lock;
    bool have_json;
    sv_bytes json;
    /* Work buffers that no call is using: their tables of words stay warm from call to call. */
    pthread_mutex_t idle_lock;
    sv_bpe_work idle[SV_TOKENIZER_IDLE];
    uint32_t n_idle;
    const sv_pre_family *family; /* NULL when made from JSON */
    int64_t bos_id;              /* set before a prompt by the written file; -1: none */
};

/* An empty one; bpe is left to the caller. */
sv_tokenizer *sv_tokenizer_new(const char *name);
/* Adds an added token. The vocabulary already has the id, with this content, or does not know it at all. */
sv_err sv_tokenizer_add(sv_tokenizer *t, sv_str content, uint32_t id, bool special, bool normalized);
/* Writes t->json from the parts. */
void sv_tokenizer_write(sv_tokenizer *t);
/* "post_processor" and all: what the written file says of a family. NULL: no family of this name. */
const sv_pre_family *sv_pre_family_find(const char *pre);

#endif
