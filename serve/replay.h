/* SPDX-License-Identifier: Apache-2.0
 * What the model wrote, kept under the ids of its tool calls: clients send calls back as JSON of their own and often
 * without the thought, so that the next prompt would not be what the model has seen. The least recently used goes when
 * there is too much. Threads: safe from any.
 */
#ifndef SV_SERVE_REPLAY_H
#define SV_SERVE_REPLAY_H

#include <jansson.h>

#include "serve/tools.h"

#define SV_REPLAY_BYTES ((size_t)64 << 20)

typedef struct sv_replay sv_replay;

sv_replay *sv_replay_make(size_t max_bytes);
void sv_replay_drop(sv_replay *r); /* NULL is fine */

/* The calls of one turn and its thought. Only requests of the same space and model find them. */
void sv_replay_keep(sv_replay *r, uint64_t space, const char *model, const sv_tool_calls *calls, sv_str thought);

typedef enum sv_replayed {
    SV_REPLAY_NONE,     /* there are no calls */
    SV_REPLAY_EXACT,    /* all calls are as the model wrote them */
    SV_REPLAY_RENDERED, /* some were changed by the client */
    SV_REPLAY_MISS      /* some are not known here */
} sv_replayed;
/* Arguments that are equal as JSON become the bytes that the model wrote; a thought that is missing comes back. */
sv_replayed sv_replay_restore(sv_replay *r, uint64_t space, const char *model, const json_t *messages);

#endif
