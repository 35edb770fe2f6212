/* SPDX-License-Identifier: Apache-2.0
 * A request under way: its prompts with their turns, its answers as they grow, and the form in which it is told.
 * Threads: one at a time.
 */
#ifndef SV_SERVE_REPLY_H
#define SV_SERVE_REPLY_H

#include "serve/form.h"
#include "serve/grow.h"
#include "serve/replay.h"

typedef struct sv_part {
    sv_turn *score,
        *turn; /* score: of the prompt's tokens, when they are echoed with log-probs; its events come first */
    uint32_t n_prompt;
    char prompt_sha[65];
    sv_bytes echo;
} sv_part;

typedef struct sv_reply sv_reply;

/* How a reply is told. Those of a stream append events. */
typedef struct sv_speech {
    const char *prefix; /* of ids */
    json_t *(*whole)(sv_reply *p);
    void (*begin)(sv_reply *p, sv_bytes *out);
    void (*grown)(sv_reply *p, uint32_t i, sv_bytes *out);
    void (*finish)(sv_reply *p, uint32_t i, sv_bytes *out);
    void (*end)(sv_reply *p, sv_bytes *out);
    void (*drop)(sv_reply *p); /* frees p->more; NULL: there is none */
} sv_speech;
extern const sv_speech sv_speech_chat, sv_speech_text, sv_speech_response;

struct sv_reply {
    sv_serve *s;
    sv_served *h; /* held until the answer is out */
    sv_http_request *r;
    sv_ask ask;
    const sv_speech *how;
    bool chat;      /* prompts are rendered chats */
    json_t *source; /* a request of another API that ask was made of, or NULL; owned */
    sv_part *part;  /* [n_part] */
    uint32_t n_part, n_grow;
    sv_grow *grow; /* [n_grow = n_part * ask.n] */
    sv_thought thought;
    sv_replayed replayed;
    uint64_t space; /* of the key */
    char id[48];
    int64_t created;
    bool begun; /* stream: the first chunks are out */
    uint64_t last_ns;
    void *more; /* of the speech */
};

/* say.c: what the APIs have in common */
sv_str sv_view(const sv_bytes *b);
json_t *sv_reply_usage(const sv_reply *p);
json_t *sv_reply_facts(const sv_reply *p);
void sv_sha_of_ids(const uint32_t *id, size_t n, char hex[65]);
bool sv_reply_all_finished(const sv_reply *p);
json_t *sv_reply_call_json(const sv_tool_call *c);

/* completion.c: answers the request in r, in the form of `how`. source as above: then it is the request. */
void sv_reply_run(sv_serve *s, sv_http_request *r, const sv_speech *how, bool chat, json_t *source, json_t *as_chat);

#endif
