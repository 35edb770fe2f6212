/* SPDX-License-Identifier: Apache-2.0
 * A hash table by id, and a list by last use.
 */
#include "serve/replay.h"

#include <pthread.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

#define BUCKETS 4096u

typedef struct entry {
    struct entry *chain, *before, *after;
    uint64_t space;
    char *model, *id, *name, *argument, *thought;
    size_t bytes;
} entry;

struct sv_replay {
    pthread_mutex_t lock;
    size_t bytes, max_bytes;
    entry *bucket[BUCKETS];
    entry *oldest, *newest;
};

static const sv_json_limits limits = { (size_t)64 << 20, 64 };

sv_replay *sv_replay_make(size_t max_bytes)
{
    sv_replay *r = sv_mem_new(sizeof *r);
    r->max_bytes = max_bytes;
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

static entry **bucket_of(sv_replay *r, const char *id)
{
    uint32_t h = 2166136261u;
    for (; *id; id++)
        h = (h ^ (uint8_t)*id) * 16777619u;
    return &r->bucket[h & (BUCKETS - 1)];
}

static void unlist(sv_replay *r, entry *e)
{
    *(e->before ? &e->before->after : &r->oldest) = e->after;
    *(e->after ? &e->after->before : &r->newest) = e->before;
}

static void list_newest(sv_replay *r, entry *e)
{
    e->before = r->newest;
    e->after = NULL;
    *(r->newest ? &r->newest->after : &r->oldest) = e;
    r->newest = e;
}

static void drop_oldest(sv_replay *r)
{
    entry *e = r->oldest, **at = bucket_of(r, e->id);
    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    unlist(r, e);
    r->bytes -= e->bytes;
    sv_mem_free(e->model);
    sv_mem_free(e->id);
    sv_mem_free(e->name);
    sv_mem_free(e->argument);
    sv_mem_free(e->thought);
    sv_mem_free(e);
}

void sv_replay_drop(sv_replay *r)
{
    if (r == NULL)
        return;
    while (r->oldest != NULL)
        drop_oldest(r);
    pthread_mutex_destroy(&r->lock);
    sv_mem_free(r);
}

void sv_replay_keep(sv_replay *r, uint64_t space, const char *model, const sv_tool_calls *calls, sv_str thought)
{
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < calls->n; i++) {
        const sv_tool_call *c = &calls->call[i];
        entry *e = sv_mem_new(sizeof *e), **bucket = bucket_of(r, c->id);
        e->space = space;
        e->model = sv_mem_text(model);
        e->id = sv_mem_text(c->id);
        e->name = sv_mem_text(c->name);
        e->argument = sv_mem_text(c->argument);
        e->thought = sv_mem_new(thought.n + 1);
        memcpy(e->thought, thought.p, thought.n);
        e->bytes = sizeof *e + strlen(model) + strlen(c->id) + strlen(c->name) + strlen(c->argument) + thought.n + 5;
        e->chain = *bucket;
        *bucket = e;
        list_newest(r, e);
        r->bytes += e->bytes;
    }
    while (r->bytes > r->max_bytes && r->oldest != NULL)
        drop_oldest(r);
    pthread_mutex_unlock(&r->lock);
}

static entry *find(sv_replay *r, uint64_t space, const char *model, const char *id)
{
    entry *e = *bucket_of(r, id);
    while (e != NULL && (e->space != space || strcmp(e->id, id) != 0 || strcmp(e->model, model) != 0))
        e = e->chain;
    return e;
}

static bool same_json(const char *text, const json_t *v)
{
    json_t *a = NULL, *b = NULL;
    bool same = sv_json_parse(sv_str_of(text), &limits, "arguments", &a) == SV_OK;
    if (same && json_is_string(v))
        same =
            sv_json_parse((sv_str){ json_string_value(v), json_string_length(v) }, &limits, "arguments", &b) == SV_OK;
    same = same && json_equal(a, b ? b : v);
    json_decref(a);
    json_decref(b);
    return same;
}

/* One message with calls. */
static sv_replayed restore(sv_replay *r, uint64_t space, const char *model, json_t *m, const json_t *calls)
{
    sv_replayed state = SV_REPLAY_EXACT;
    const char *thought = NULL;
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i);
        const char *id = json_string_value(json_object_get(call, "id"));
        json_t *f = json_object_get(call, "function");
        entry *e = id ? find(r, space, model, id) : NULL;
        if (e == NULL) {
            state = SV_REPLAY_MISS;
            continue;
        }
        unlist(r, e);
        list_newest(r, e);
        thought = e->thought;
        if (strcmp(json_string_value(json_object_get(f, "name")), e->name) == 0 &&
            same_json(e->argument, json_object_get(f, "arguments")))
            json_object_set_new(f, "arguments", json_string(e->argument));
        else if (state == SV_REPLAY_EXACT)
            state = SV_REPLAY_RENDERED;
    }
    if (thought != NULL && thought[0] != '\0' && sv_json_get(m, "reasoning_content") == NULL)
        json_object_set_new(m, "reasoning_content", json_string(thought));
    return state;
}

sv_replayed sv_replay_restore(sv_replay *r, uint64_t space, const char *model, const json_t *messages)
{
    sv_replayed worst = SV_REPLAY_NONE;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *m = json_array_get(messages, i), *calls = sv_json_get(m, "tool_calls");
        sv_replayed one = json_array_size(calls) > 0 ? restore(r, space, model, m, calls) : SV_REPLAY_NONE;
        worst = one > worst ? one : worst;
    }
    pthread_mutex_unlock(&r->lock);
    return worst;
}
