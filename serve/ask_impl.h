/* SPDX-License-Identifier: Apache-2.0
 * What the readers of requests share: sentences about fields, and fields of one type.
 * Threads: values.
 */
#ifndef SV_SERVE_ASK_IMPL_H
#define SV_SERVE_ASK_IMPL_H

#include "serve/ask.h"

/* A value in few words, for messages; until the next call of the thread. */
const char *sv_ask_words(const json_t *v);
bool sv_ask_is_in(const char *const *list, size_t n, const char *word);
/* SV_E_ARG: FIELD is VALUE; allowed: ... Names the field in a->param. */
sv_err sv_ask_wrong(sv_ask *a, const char *field, const json_t *v, const char *allowed);
sv_err sv_ask_unsupported(sv_ask *a, const char *field, const char *sentence);
/* Fields of the request; a missing one or null changes nothing. */
sv_err sv_ask_number(sv_ask *a, const char *field, double min, double max, const char *allowed, float *out);
sv_err sv_ask_whole(sv_ask *a, const char *field, int64_t min, int64_t max, int64_t *out);
sv_err sv_ask_on_off(sv_ask *a, const json_t *obj, const char *key, const char *field, bool *out);

sv_err sv_ask_read_format(sv_ask *a);
sv_err sv_ask_read_chat(sv_ask *a, const sv_ask_rules *rules);

#endif
