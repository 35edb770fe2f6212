/* SPDX-License-Identifier: Apache-2.0
 * Conversations over HTTP: GET, PUT and DELETE below /samsvar/chats, thumbs, their export.
 */
#include <string.h>

#include "base/json.h"
#include "serve/serve_impl.h"

static void reply_err(sv_serve *s, sv_http_request *r, sv_err err)
{
    unsigned status = err == SV_E_NOTFOUND ? 404 : err == SV_E_LIMIT ? 507 : err == SV_E_ARG ? 400 : 500;
    sv_reply_fault(s, r, status, NULL, NULL, sv_err_text());
}

static void reply_done(sv_serve *s, sv_http_request *r, sv_err err)
{
    if (err != SV_OK)
        reply_err(s, r, err);
    else
        sv_reply_json(s, r, 200, json_pack("{s:b}", "kept", 1));
}

bool sv_chats_allowed(sv_serve *s, const sv_http_request *r, sv_key *key)
{
    return s->chats != NULL && sv_key_of(s, r, key) && (key->chats || s->o.api_keys == NULL);
}

/* CHAT, CHAT/messages/ID or CHAT/labels/ID */
typedef struct place {
    char chat[65], part[16], message[65];
} place;

static bool take_word(const char **at, char *out, size_t cap)
{
    size_t n = strcspn(*at, "/");
    if (n >= cap)
        return false;
    memcpy(out, *at, n);
    out[n] = '\0';
    *at += n + ((*at)[n] == '/');
    return true;
}

static bool read_place(const char *path, place *out)
{
    memset(out, 0, sizeof *out);
    if (!take_word(&path, out->chat, sizeof out->chat) || !sv_chats_is_id(out->chat))
        return false;
    if (*path == '\0')
        return true;
    return take_word(&path, out->part, sizeof out->part) && take_word(&path, out->message, sizeof out->message) &&
           *path == '\0' && sv_chats_is_id(out->message) &&
           (strcmp(out->part, "messages") == 0 || strcmp(out->part, "labels") == 0);
}

static void put(sv_serve *s, sv_http_request *r, const sv_key *key, const place *at)
{
    json_t *o;
    sv_err err = sv_ask_json(sv_http_body(r), &o);
    if (err != SV_OK) {
        reply_err(s, r, SV_E_ARG);
        return;
    }
    if (strcmp(at->part, "messages") == 0)
        err = sv_chats_put_message(s->chats, key->sum, at->chat, at->message, o);
    else if (strcmp(at->part, "labels") == 0)
        err = sv_chats_label(s->chats, key->sum, at->chat, at->message, json_object_get(o, "label"));
    else
        err = sv_chats_put(s->chats, key->sum, at->chat, o);
    json_decref(o);
    reply_done(s, r, err);
}

static void get_list(sv_serve *s, sv_http_request *r, const sv_key *key)
{
    json_t *list;
    sv_err err = sv_chats_list(s->chats, key->sum, &list);
    if (err != SV_OK)
        reply_err(s, r, err);
    else
        sv_reply_json(s, r, 200, json_pack("{s:o}", "chats", list));
}

static void get_labels(sv_serve *s, sv_http_request *r, const sv_key *key)
{
    sv_bytes out = { 0 };
    sv_err err = sv_chats_export(s->chats, key->sum, &out);
    if (err != SV_OK) {
        reply_err(s, r, err);
    } else {
        sv_count_status(s, 200);
        sv_http_reply(r, 200, "application/x-ndjson", (sv_str){ out.p ? out.p : "", out.n });
    }
    sv_bytes_done(&out);
}

static void get_one(sv_serve *s, sv_http_request *r, const sv_key *key, const char *id)
{
    json_t *o;
    sv_err err = sv_chats_get(s->chats, key->sum, id, &o);
    if (err != SV_OK)
        reply_err(s, r, err);
    else
        sv_reply_json(s, r, 200, o);
}

void sv_api_chats(sv_serve *s, sv_http_request *r, const char *rest)
{
    const char *method = sv_http_method(r);
    sv_key key;
    place at;
    if (!sv_chats_allowed(s, r, &key)) {
        sv_reply_fault(s, r, 403, NULL, "chats_off",
                       "conversations are not kept here: the server needs --chats FILE and the key the word chats");
        return;
    }
    bool is_get = strcmp(method, "GET") == 0;
    if (is_get && *rest == '\0')
        get_list(s, r, &key);
    else if (is_get && strcmp(rest, "/labels.jsonl") == 0)
        get_labels(s, r, &key);
    else if (*rest != '/' || !read_place(rest + 1, &at))
        sv_reply_fault(s, r, 404, NULL, NULL,
                       "no such path; there are /samsvar/chats, /samsvar/chats/labels.jsonl, /samsvar/chats/ID and "
                       "below it messages/ID and labels/ID; an ID has 1 to 64 letters, digits and hyphens");
    else if (is_get && at.part[0] == '\0')
        get_one(s, r, &key, at.chat);
    else if (strcmp(method, "PUT") == 0)
        put(s, r, &key, &at);
    else if (strcmp(method, "DELETE") == 0 && at.part[0] == '\0')
        reply_done(s, r, sv_chats_delete(s->chats, key.sum, at.chat));
    else
        sv_reply_fault(s, r, 405, NULL, NULL, "this path has another method");
}
