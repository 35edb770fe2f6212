/* SPDX-License-Identifier: Apache-2.0
 * Conversations kept on the server, in one SQLite file, each the key's own that wrote it: trees of messages, and thumbs
 * as labels for training. What was acknowledged is on the disk. Threads: all functions lock.
 */
#ifndef SV_SERVE_CHATS_H
#define SV_SERVE_CHATS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

typedef struct sv_chats sv_chats;

#define SV_CHATS_MAX_MESSAGE (1u << 20) /* bytes of one message's JSON */
#define SV_CHATS_MAX_MESSAGES 10000u    /* of one conversation */

/* Made when missing, readable by its owner alone. max_bytes 0: 1 GB. SV_E_UNSUPPORTED: built without SQLite. */
sv_err sv_chats_open(const char *path, uint64_t max_bytes, sv_chats **out);
void sv_chats_close(sv_chats *c); /* NULL is fine */

/* space: whose (a key's digest). Errors of all: SV_E_NOTFOUND, SV_E_LIMIT (the file's bytes are used up), SV_E_IO. */
/* [{id, title, updated}], the newest first. */
sv_err sv_chats_list(sv_chats *c, const uint8_t space[32], json_t **out);
/* {id, title, current, messages: [{id, parent, ...}]} in the order of their coming. */
sv_err sv_chats_get(sv_chats *c, const uint8_t space[32], const char *id, json_t **out);
/* Title and the message shown last (either may be missing); the conversation is made when missing. */
sv_err sv_chats_put(sv_chats *c, const uint8_t space[32], const char *id, const json_t *o);
/* One message: an object with role, content and parent (an id or null); replaces the one of the same id. */
sv_err sv_chats_put_message(sv_chats *c, const uint8_t space[32], const char *id, const char *message, const json_t *o);
sv_err sv_chats_delete(sv_chats *c, const uint8_t space[32], const char *id);
/* A thumb: true, false, or null to take it back. */
sv_err sv_chats_label(sv_chats *c, const uint8_t space[32], const char *id, const char *message, const json_t *label);
/* Every labelled answer, {"prompt": [...], "completion": [...], "label": bool} a line: the kind `unpaired`. */
sv_err sv_chats_export(sv_chats *c, const uint8_t space[32], sv_bytes *out);

/* 1 to 64 letters, digits and hyphens. */
bool sv_chats_is_id(const char *id);

#endif
