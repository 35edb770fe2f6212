/* SPDX-License-Identifier: Apache-2.0
 * Names, slots, other names, and the thread that opens and closes models.
 */
#include "serve/models.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

#define MAX_ID 128u

typedef struct slot {
    char *id, *path; /* path NULL: borrowed */
    sv_served *host; /* NULL: not loaded */
    bool loading;
    char problem[256]; /* of the last load */
} slot;

typedef struct other_name {
    char *name, *id;
} other_name;

struct sv_order {
    sv_order *next;
    char *id;
    bool finished, dropped;
    sv_err err;
    char text[512];
    void (*done)(void *ctx);
    void *ctx;
};

struct sv_models {
    sv_served_opts o;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    slot *slot;
    size_t n_slot, cap_slot;
    other_name *alias;
    size_t n_alias, cap_alias;
    sv_order *first, **last;
    sv_served *dead; /* to be closed */
    bool stop;
    sv_thread *thread;
};

/* ---- inside the lock ---- */

static slot *find_slot(sv_models *m, const char *id)
{
    for (size_t i = 0; i < m->n_slot; i++)
        if (strcmp(m->slot[i].id, id) == 0)
            return &m->slot[i];
    return NULL;
}

static other_name *find_alias(sv_models *m, const char *name)
{
    for (size_t i = 0; i < m->n_alias; i++)
        if (strcmp(m->alias[i].name, name) == 0)
            return &m->alias[i];
    return NULL;
}

static slot *find_any(sv_models *m, const char *name)
{
    const other_name *a = find_alias(m, name);
    return find_slot(m, a ? a->id : name);
}

static sv_err check_id(sv_models *m, const char *id)
{
    size_t n = strlen(id);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)id[i] < 0x21 || id[i] == '"' || id[i] == '\\' || id[i] == 0x7f)
            return sv_fail(SV_E_ARG, "the name %s has characters that are not allowed; take letters, digits and -._/:",
                           sv_str_quote(sv_str_of(id)));
    if (n == 0 || n > MAX_ID || strchr(id, ':') != NULL)
        return sv_fail(SV_E_ARG, "the name %s does not fit: 1 to %u bytes without a colon are allowed",
                       sv_str_quote(sv_str_of(id)), MAX_ID);
    if (find_slot(m, id) != NULL)
        return sv_fail(SV_E_ARG, "there are two models named %s; give one another name: NAME=PATH", id);
    return SV_OK;
}

static void add_slot(sv_models *m, const char *id, const char *path, sv_served *h)
{
    slot s = { .id = sv_mem_text(id), .path = path ? sv_mem_text(path) : NULL, .host = h };
    SV_PUSH(m->slot, m->n_slot, m->cap_slot, s);
}

/* ---- the thread ---- */

static void on_last(void *ctx, sv_served *h)
{
    sv_models *m = ctx;
    pthread_mutex_lock(&m->lock);
    h->next = m->dead;
    m->dead = h;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
}

static void on_hashed(void *ctx)
{
    const sv_models *m = ctx;
    if (m->o.hashed != NULL)
        m->o.hashed(m->o.ctx);
}

static sv_served_opts own_opts(sv_models *m)
{
    sv_served_opts o = m->o;
    o.last = on_last;
    o.hashed = on_hashed;
    o.ctx = m;
    return o;
}

/* What was opened, or its failure, goes into the slot, if that is still there. */
static sv_err settle(sv_models *m, const char *id, sv_served *h, sv_err err)
{
    sv_served *old = h;
    pthread_mutex_lock(&m->lock);
    slot *s = find_slot(m, id);
    if (s != NULL) {
        s->loading = false;
        s->problem[0] = '\0';
        if (err != SV_OK) {
            snprintf(s->problem, sizeof s->problem, "%s", sv_err_text());
        } else {
            old = s->host;
            s->host = h;
        }
    }
    pthread_mutex_unlock(&m->lock);
    sv_served_put(old);
    return err;
}

sv_err sv_models_load_now(sv_models *m, const char *id)
{
    sv_served *h = NULL;
    sv_served_opts o = own_opts(m);
    pthread_mutex_lock(&m->lock);
    slot *s = find_slot(m, id);
    char *path = s && s->path ? sv_mem_text(s->path) : NULL;
    if (s != NULL)
        s->loading = true;
    pthread_mutex_unlock(&m->lock);
    if (path == NULL)
        return sv_fail(SV_E_NOTFOUND, "there is no model %s to load; the list is the server's start line or --models",
                       sv_str_quote(sv_str_of(id)));
    sv_err err = sv_served_open(id, path, &o, &h);
    sv_mem_free(path);
    return settle(m, id, h, err);
}

static void free_order(sv_order *o)
{
    sv_mem_free(o->id);
    sv_mem_free(o);
}

static void finish_order(sv_models *m, sv_order *o, sv_err err)
{
    pthread_mutex_lock(&m->lock);
    o->err = err;
    if (err != SV_OK)
        snprintf(o->text, sizeof o->text, "%s", sv_err_text());
    o->finished = true;
    bool dropped = o->dropped;
    if (!dropped && o->done != NULL)
        o->done(o->ctx);
    pthread_mutex_unlock(&m->lock);
    if (dropped)
        free_order(o);
}

static void run(void *arg)
{
    sv_models *m = arg;
    for (;;) {
        pthread_mutex_lock(&m->lock);
        while (!m->stop && m->first == NULL && m->dead == NULL)
            pthread_cond_wait(&m->wake, &m->lock);
        sv_served *dead = m->dead;
        sv_order *o = NULL;
        if (dead != NULL) {
            m->dead = dead->next;
        } else if (m->stop) {
            pthread_mutex_unlock(&m->lock);
            return;
        } else {
            o = m->first;
            m->first = o->next;
            if (m->first == NULL)
                m->last = &m->first;
        }
        pthread_mutex_unlock(&m->lock);
        sv_served_close(dead);
        if (o == NULL)
            continue;
        sv_err err = sv_models_load_now(m, o->id);
        if (err != SV_OK)
            sv_log(SV_LOG_WARN, "serve", "model %s is not loaded: %s", o->id, sv_err_text());
        finish_order(m, o, err);
    }
}

sv_err sv_models_start(const sv_served_opts *o, sv_models **out)
{
    sv_models *m = sv_mem_new(sizeof *m);
    m->o = *o;
    m->last = &m->first;
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->wake, NULL);
    sv_err err = sv_thread_start("sv-models", run, m, &m->thread);
    if (err != SV_OK) {
        sv_models_stop(m);
        return err;
    }
    *out = m;
    return SV_OK;
}

void sv_models_stop(sv_models *m)
{
    if (m == NULL)
        return;
    pthread_mutex_lock(&m->lock);
    m->stop = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
    sv_thread_join(m->thread); /* a load that runs ends first, and what it opened is in its slot */
    for (size_t i = 0; i < m->n_slot; i++)
        sv_served_put(m->slot[i].host);
    for (sv_served *h = m->dead, *next; h != NULL; h = next) {
        next = h->next;
        sv_served_close(h);
    }
    for (size_t i = 0; i < m->n_slot; i++) {
        sv_mem_free(m->slot[i].id);
        sv_mem_free(m->slot[i].path);
    }
    for (size_t i = 0; i < m->n_alias; i++) {
        sv_mem_free(m->alias[i].name);
        sv_mem_free(m->alias[i].id);
    }
    for (sv_order *o = m->first, *next; o != NULL; o = next) {
        next = o->next;
        free_order(o);
    }
    sv_mem_free(m->slot);
    sv_mem_free(m->alias);
    pthread_cond_destroy(&m->wake);
    pthread_mutex_destroy(&m->lock);
    sv_mem_free(m);
}

void sv_models_fail_all(sv_models *m, const char *why)
{
    sv_served **all;
    uint32_t n = sv_models_all(m, &all);
    for (uint32_t i = 0; i < n; i++) {
        sv_work_fail_all(all[i]->work, why);
        sv_served_put(all[i]);
    }
    sv_mem_free(all);
}

/* ---- names ---- */

sv_err sv_models_add(sv_models *m, const char *id, const char *path)
{
    pthread_mutex_lock(&m->lock);
    sv_err err = check_id(m, id);
    if (err == SV_OK)
        add_slot(m, id, path, NULL);
    pthread_mutex_unlock(&m->lock);
    return err;
}

sv_err sv_models_add_served(sv_models *m, sv_served *h)
{
    pthread_mutex_lock(&m->lock);
    sv_err err = check_id(m, h->id);
    if (err == SV_OK) {
        h->last = on_last;
        h->ctx = m;
        add_slot(m, h->id, NULL, h);
    }
    pthread_mutex_unlock(&m->lock);
    return err;
}

sv_served *sv_models_find(sv_models *m, const char *name, bool *nothink)
{
    char id[MAX_ID + 1];
    const char *colon = name ? strrchr(name, ':') : NULL;
    sv_served *h = NULL;
    *nothink = colon != NULL && strcmp(colon, ":nothink") == 0;
    size_t n = name ? *nothink ? (size_t)(colon - name) : strlen(name) : 0;
    if (n > MAX_ID)
        return NULL;
    memcpy(id, n ? name : "", n);
    id[n] = '\0';
    pthread_mutex_lock(&m->lock);
    const slot *s = n ? find_any(m, id) : NULL;
    for (size_t i = 0; n == 0 && s == NULL && i < m->n_slot; i++)
        if (m->slot[i].host != NULL)
            s = &m->slot[i];
    if (s != NULL && s->host != NULL) {
        h = s->host;
        sv_served_take(h);
    }
    pthread_mutex_unlock(&m->lock);
    return h;
}

bool sv_models_is_single(sv_models *m)
{
    pthread_mutex_lock(&m->lock);
    bool single = m->n_slot == 1 && m->n_alias == 0;
    pthread_mutex_unlock(&m->lock);
    return single;
}

void sv_models_names(sv_models *m, sv_bytes *out)
{
    size_t n = 0;
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->n_slot; i++)
        if (m->slot[i].host != NULL)
            sv_bytes_printf(out, n++ ? ", %s" : "%s", m->slot[i].id);
    for (size_t i = 0; i < m->n_alias; i++)
        sv_bytes_printf(out, n++ ? ", %s" : "%s", m->alias[i].name);
    pthread_mutex_unlock(&m->lock);
    if (n == 0)
        sv_bytes_text(out, "none");
}

uint32_t sv_models_all(sv_models *m, sv_served ***out)
{
    uint32_t n = 0;
    pthread_mutex_lock(&m->lock);
    *out = sv_mem_new((m->n_slot + 1) * sizeof **out);
    for (size_t i = 0; i < m->n_slot; i++)
        if (m->slot[i].host != NULL) {
            sv_served_take(m->slot[i].host);
            (*out)[n++] = m->slot[i].host;
        }
    pthread_mutex_unlock(&m->lock);
    return n;
}

json_t *sv_models_json(sv_models *m, bool with_paths)
{
    json_t *list = json_array(), *names = json_object();
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->n_slot; i++) {
        const slot *s = &m->slot[i];
        const char *state = s->loading ? "loading" : s->host ? "loaded" : s->problem[0] ? "failed" : "unloaded";
        json_t *o = json_pack("{s:s, s:s}", "id", s->id, "state", state);
        if (s->problem[0] != '\0')
            json_object_set_new(o, "problem", json_string(s->problem));
        if (with_paths && s->path != NULL)
            json_object_set_new(o, "path", json_string(s->path));
        json_array_append_new(list, o);
    }
    for (size_t i = 0; i < m->n_alias; i++)
        json_object_set_new(names, m->alias[i].name, json_string(m->alias[i].id));
    pthread_mutex_unlock(&m->lock);
    return json_pack("{s:o, s:o}", "models", list, "aliases", names);
}

void sv_models_aliases(sv_models *m, void (*fn)(void *ctx, const char *name, const char *id), void *ctx)
{
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->n_alias; i++)
        fn(ctx, m->alias[i].name, m->alias[i].id);
    pthread_mutex_unlock(&m->lock);
}

/* ---- orders ---- */

/* Inside the lock. */
static sv_order *post_order(sv_models *m, const char *id, void (*done)(void *), void *ctx)
{
    sv_order *o = sv_mem_new(sizeof *o);
    o->id = sv_mem_text(id);
    o->done = done;
    o->ctx = ctx;
    o->dropped = done == NULL; /* nobody will ask */
    *m->last = o;
    m->last = &o->next;
    pthread_cond_signal(&m->wake);
    return o;
}

sv_order *sv_models_load(sv_models *m, const char *id, void (*done)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&m->lock);
    sv_order *o = post_order(m, id, done, ctx);
    pthread_mutex_unlock(&m->lock);
    return o;
}

bool sv_order_result(sv_models *m, sv_order *o, sv_err *err, char *text, size_t cap)
{
    pthread_mutex_lock(&m->lock);
    bool done = o->finished;
    *err = o->err;
    snprintf(text, cap, "%s", o->text);
    pthread_mutex_unlock(&m->lock);
    return done;
}

void sv_order_drop(sv_models *m, sv_order *o)
{
    pthread_mutex_lock(&m->lock);
    bool done = o->finished;
    o->dropped = true;
    pthread_mutex_unlock(&m->lock);
    if (done)
        free_order(o);
}

sv_err sv_models_unload(sv_models *m, const char *id)
{
    sv_served *h = NULL;
    pthread_mutex_lock(&m->lock);
    slot *s = find_slot(m, id);
    if (s != NULL) {
        h = s->host;
        s->host = NULL;
    }
    for (size_t i = m->n_alias; h != NULL && i-- > 0;)
        if (strcmp(m->alias[i].id, id) == 0) {
            sv_mem_free(m->alias[i].name);
            sv_mem_free(m->alias[i].id);
            m->alias[i] = m->alias[--m->n_alias];
        }
    pthread_mutex_unlock(&m->lock);
    if (h == NULL)
        return sv_fail(SV_E_NOTFOUND, "there is no model %s that is loaded; GET /samsvar/models lists them",
                       sv_str_quote(sv_str_of(id)));
    sv_served_put(h);
    return SV_OK;
}

sv_err sv_models_alias(sv_models *m, const char *name, const char *id)
{
    pthread_mutex_lock(&m->lock);
    sv_err err = check_id(m, name);
    const slot *s = find_slot(m, id);
    if (err == SV_OK && (s == NULL || s->host == NULL))
        err = sv_fail(SV_E_NOTFOUND, "there is no model %s that is loaded; load it first", sv_str_quote(sv_str_of(id)));
    if (err == SV_OK) {
        other_name *a = find_alias(m, name);
        if (a != NULL) {
            sv_mem_free(a->id);
            a->id = sv_mem_text(id);
        } else {
            other_name fresh = { sv_mem_text(name), sv_mem_text(id) };
            SV_PUSH(m->alias, m->n_alias, m->cap_alias, fresh);
        }
    }
    pthread_mutex_unlock(&m->lock);
    return err;
}

/* ---- the whole list ---- */

static bool has(const char *const *list, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], word) == 0)
            return true;
    return false;
}

/* Inside the lock; the host is returned to be put outside. */
static sv_served *remove_slot(sv_models *m, size_t i)
{
    sv_served *h = m->slot[i].host;
    sv_mem_free(m->slot[i].id);
    sv_mem_free(m->slot[i].path);
    memmove(&m->slot[i], &m->slot[i + 1], (m->n_slot - i - 1) * sizeof *m->slot);
    m->n_slot--;
    return h;
}

sv_err sv_models_set(sv_models *m, const char *const *id, const char *const *path, size_t n)
{
    sv_err err = SV_OK;
    for (size_t i = 0; i < n && err == SV_OK; i++) {
        if (has(id, i, id[i]))
            return sv_fail(SV_E_ARG, "the list names %s twice; give each model its own name", id[i]);
        pthread_mutex_lock(&m->lock);
        slot *s = find_slot(m, id[i]);
        bool fresh = s == NULL;
        if (fresh)
            err = check_id(m, id[i]);
        bool moved = !fresh && s->path != NULL && strcmp(s->path, path[i]) != 0;
        if (moved) {
            sv_mem_free(s->path);
            s->path = sv_mem_text(path[i]);
        }
        if (fresh && err == SV_OK)
            add_slot(m, id[i], path[i], NULL);
        if (err == SV_OK && (fresh || moved))
            post_order(m, id[i], NULL, NULL);
        pthread_mutex_unlock(&m->lock);
    }
    for (size_t i = m->n_slot; err == SV_OK && i-- > 0;) {
        sv_served *gone = NULL;
        pthread_mutex_lock(&m->lock);
        if (i < m->n_slot && m->slot[i].path != NULL && !has(id, n, m->slot[i].id))
            gone = remove_slot(m, i);
        pthread_mutex_unlock(&m->lock);
        sv_served_put(gone);
    }
    return err;
}
