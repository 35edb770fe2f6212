/* SPDX-License-Identifier: Apache-2.0
 * The file of conversations. Write-ahead log with full syncing: a reply that says "kept" comes after the disk did.
 */
#include "serve/chats.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "serve/serve_impl.h"

bool sv_chats_is_id(const char *id)
{
    size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
    return n >= 1 && n <= 64 && id[n] == '\0';
}

#ifdef SV_HAVE_SQLITE
#include <sqlite3.h>

#define MAX_BYTES 1000000000u
#define PAGE_BYTES 4096u
#define MAX_TITLE 512u

struct sv_chats {
    sqlite3 *db;
    pthread_mutex_t lock;
    char *path;
};

static const char schema[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA trusted_schema=OFF; PRAGMA foreign_keys=ON;"
    "CREATE TABLE IF NOT EXISTS chat(space BLOB NOT NULL, id TEXT NOT NULL, title TEXT NOT NULL, current TEXT,"
    " created INTEGER NOT NULL, updated INTEGER NOT NULL, PRIMARY KEY(space, id)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS message(n INTEGER PRIMARY KEY AUTOINCREMENT, space BLOB NOT NULL, chat TEXT NOT NULL,"
    " id TEXT NOT NULL, parent TEXT, body TEXT NOT NULL, label INTEGER, labelled INTEGER, UNIQUE(space, chat, id),"
    " FOREIGN KEY(space, chat) REFERENCES chat(space, id) ON DELETE CASCADE);";

/* ---- statements ---- */

static sv_err db_fail(const sv_chats *c, int rc)
{
    if (rc == SQLITE_FULL)
        return sv_fail(SV_E_LIMIT, "the server's room for conversations is used up (--chats-bytes); delete some");
    return sv_fail(SV_E_IO, "%s: %s", c->path, sqlite3_errmsg(c->db));
}

/* Binds: b space, t text (NULL is NULL), i int64. */
static sv_err prepare(sv_chats *c, const char *sql, const uint8_t *space, const char *const *text, size_t n,
                      sqlite3_stmt **out)
{
    int rc = sqlite3_prepare_v2(c->db, sql, -1, out, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(*out, 1, space, 32, SQLITE_STATIC);
    for (size_t i = 0; i < n && rc == SQLITE_OK; i++)
        rc = text[i] ? sqlite3_bind_text(*out, (int)i + 2, text[i], -1, SQLITE_STATIC)
                     : sqlite3_bind_null(*out, (int)i + 2);
    if (rc == SQLITE_OK)
        return SV_OK;
    sv_err err = db_fail(c, rc);
    sqlite3_finalize(*out);
    return err;
}

/* A statement without rows; *changed (may be NULL): rows it touched. */
static sv_err run(sv_chats *c, const char *sql, const uint8_t *space, const char *const *text, size_t n, int *changed)
{
    sqlite3_stmt *q;
    SV_TRY(prepare(c, sql, space, text, n, &q));
    int rc = sqlite3_step(q);
    if (changed != NULL)
        *changed = sqlite3_changes(c->db);
    sv_err err = rc == SQLITE_DONE || rc == SQLITE_ROW ? SV_OK : db_fail(c, rc);
    sqlite3_finalize(q);
    return err;
}

static const char *column(sqlite3_stmt *q, int i)
{
    const unsigned char *p = sqlite3_column_text(q, i);
    return p ? (const char *)p : "";
}

static sv_err end_rows(sv_chats *c, sqlite3_stmt *q, int rc)
{
    sv_err err = rc == SQLITE_DONE ? SV_OK : db_fail(c, rc);
    sqlite3_finalize(q);
    return err;
}

/* ---- open, close ---- */

static sv_err set_up(sv_chats *c, uint64_t max_bytes)
{
    char limit[96];
    sqlite3_busy_timeout(c->db, 5000);
    if (sqlite3_exec(c->db, schema, NULL, NULL, NULL) != SQLITE_OK)
        return db_fail(c, SQLITE_ERROR);
    sqlite3_snprintf(sizeof limit, limit, "PRAGMA max_page_count=%llu",
                     (max_bytes ? max_bytes : MAX_BYTES) / PAGE_BYTES);
    return sqlite3_exec(c->db, limit, NULL, NULL, NULL) == SQLITE_OK ? SV_OK : db_fail(c, SQLITE_ERROR);
}

sv_err sv_chats_open(const char *path, uint64_t max_bytes, sv_chats **out)
{
    sv_chats *c = sv_mem_new(sizeof *c);
    c->path = sv_mem_text(path);
    pthread_mutex_init(&c->lock, NULL);
    mode_t mask = umask(077);
    int rc = sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    sv_err err = rc == SQLITE_OK ? set_up(c, max_bytes) : db_fail(c, rc);
    umask(mask);
    if (err != SV_OK) {
        sv_chats_close(c);
        return err;
    }
    *out = c;
    return SV_OK;
}

void sv_chats_close(sv_chats *c)
{
    if (c == NULL)
        return;
    sqlite3_close_v2(c->db);
    pthread_mutex_destroy(&c->lock);
    sv_mem_free(c->path);
    sv_mem_free(c);
}

/* ---- reading ---- */

sv_err sv_chats_list(sv_chats *c, const uint8_t space[32], json_t **out)
{
    sqlite3_stmt *q;
    int rc;
    pthread_mutex_lock(&c->lock);
    sv_err err =
        prepare(c, "SELECT id, title, updated FROM chat WHERE space=?1 ORDER BY updated DESC, id", space, NULL, 0, &q);
    *out = json_array();
    if (err == SV_OK) {
        while ((rc = sqlite3_step(q)) == SQLITE_ROW)
            json_array_append_new(*out, json_pack("{s:s, s:s, s:I}", "id", column(q, 0), "title", column(q, 1),
                                                  "updated", (json_int_t)sqlite3_column_int64(q, 2)));
        err = end_rows(c, q, rc);
    }
    pthread_mutex_unlock(&c->lock);
    if (err != SV_OK)
        json_decref(*out);
    return err;
}

static sv_err read_messages(sv_chats *c, const uint8_t *space, const char *id, json_t *list)
{
    sqlite3_stmt *q;
    int rc;
    json_error_t e;
    SV_TRY(prepare(c, "SELECT body, id, parent, label FROM message WHERE space=?1 AND chat=?2 ORDER BY n", space, &id,
                   1, &q));
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        json_t *m = json_loads(column(q, 0), 0, &e);
        if (!json_is_object(m)) {
            json_decref(m);
            m = json_object();
        }
        json_object_set_new(m, "id", json_string(column(q, 1)));
        json_object_set_new(m, "parent",
                            sqlite3_column_type(q, 2) == SQLITE_NULL ? json_null() : json_string(column(q, 2)));
        if (sqlite3_column_type(q, 3) != SQLITE_NULL)
            json_object_set_new(m, "label", json_boolean(sqlite3_column_int(q, 3)));
        json_array_append_new(list, m);
    }
    return end_rows(c, q, rc);
}

static sv_err read_chat(sv_chats *c, const uint8_t *space, const char *id, json_t **out)
{
    sqlite3_stmt *q;
    SV_TRY(prepare(c, "SELECT title, current FROM chat WHERE space=?1 AND id=?2", space, &id, 1, &q));
    int rc = sqlite3_step(q);
    *out = rc == SQLITE_ROW ? json_pack("{s:s, s:s, s:s, s:[]}", "id", id, "title", column(q, 0), "current",
                                        column(q, 1), "messages")
                            : NULL;
    sv_err err = rc == SQLITE_ROW || rc == SQLITE_DONE ? SV_OK : db_fail(c, rc);
    sqlite3_finalize(q);
    if (err == SV_OK && *out == NULL)
        err = sv_fail(SV_E_NOTFOUND, "there is no such conversation here");
    return err;
}

sv_err sv_chats_get(sv_chats *c, const uint8_t space[32], const char *id, json_t **out)
{
    pthread_mutex_lock(&c->lock);
    sv_err err = read_chat(c, space, id, out);
    if (err == SV_OK) {
        err = read_messages(c, space, id, json_object_get(*out, "messages"));
        if (err != SV_OK)
            json_decref(*out);
    }
    pthread_mutex_unlock(&c->lock);
    return err;
}

/* ---- writing ---- */

/* The conversation is there and now the newest. Inside a transaction. */
static sv_err touch(sv_chats *c, const uint8_t *space, const char *id, const char *title, const char *current)
{
    char now[32];
    sqlite3_snprintf(sizeof now, now, "%lld", (long long)sv_clock_unix());
    const char *text[] = { id, title, current, now };
    return run(c,
               "INSERT INTO chat(space, id, title, current, created, updated)"
               " VALUES(?1, ?2, coalesce(?3, 'New chat'), ?4, ?5, ?5) ON CONFLICT(space, id) DO UPDATE SET"
               " title=coalesce(?3, title), current=coalesce(?4, current), updated=?5",
               space, text, 4, NULL);
}

static sv_err begin(sv_chats *c)
{
    int rc = sqlite3_exec(c->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    return rc == SQLITE_OK ? SV_OK : db_fail(c, rc);
}

static sv_err commit(sv_chats *c, sv_err err)
{
    if (err == SV_OK) {
        int rc = sqlite3_exec(c->db, "COMMIT", NULL, NULL, NULL);
        err = rc == SQLITE_OK ? SV_OK : db_fail(c, rc);
    }
    if (err != SV_OK && sqlite3_get_autocommit(c->db) == 0)
        sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

sv_err sv_chats_put(sv_chats *c, const uint8_t space[32], const char *id, const json_t *o)
{
    const char *title = json_string_value(sv_json_get(o, "title")), *at = json_string_value(sv_json_get(o, "current"));
    if (title != NULL && strlen(title) > MAX_TITLE)
        return sv_fail(SV_E_ARG, "title has %zu bytes; at most %u are allowed", strlen(title), MAX_TITLE);
    if (at != NULL && !sv_chats_is_id(at))
        return sv_fail(SV_E_ARG, "current is no message id: 1 to 64 letters, digits and hyphens");
    pthread_mutex_lock(&c->lock);
    sv_err err = touch(c, space, id, title, at);
    pthread_mutex_unlock(&c->lock);
    return err;
}

static sv_err check_message(const json_t *o, const char **parent)
{
    const json_t *p = sv_json_get(o, "parent");
    *parent = json_string_value(p);
    if (!json_is_string(sv_json_get(o, "role")) || !json_is_string(sv_json_get(o, "content")))
        return sv_fail(SV_E_ARG, "a message has role and content, both texts");
    if (p != NULL && !json_is_null(p) && (*parent == NULL || !sv_chats_is_id(*parent)))
        return sv_fail(SV_E_ARG, "parent is no message id: 1 to 64 letters, digits and hyphens, or null");
    return SV_OK;
}

static sv_err count_messages(sv_chats *c, const uint8_t *space, const char *id)
{
    sqlite3_stmt *q;
    SV_TRY(prepare(c, "SELECT count(*) FROM message WHERE space=?1 AND chat=?2", space, &id, 1, &q));
    int64_t n = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
    sqlite3_finalize(q);
    return n < SV_CHATS_MAX_MESSAGES
               ? SV_OK
               : sv_fail(SV_E_LIMIT, "a conversation has at most %u messages; begin another", SV_CHATS_MAX_MESSAGES);
}

sv_err sv_chats_put_message(sv_chats *c, const uint8_t space[32], const char *id, const char *message, const json_t *o)
{
    const char *parent;
    SV_TRY(check_message(o, &parent));
    sv_bytes body = { 0 };
    sv_json_print(o, 0, &body);
    sv_err err = body.n <= SV_CHATS_MAX_MESSAGE
                     ? SV_OK
                     : sv_fail(SV_E_LIMIT, "a message has at most %u bytes", SV_CHATS_MAX_MESSAGE);
    if (err == SV_OK) {
        const char *text[] = { id, message, parent, body.p };
        pthread_mutex_lock(&c->lock);
        err = begin(c);
        if (err == SV_OK) {
            err = touch(c, space, id, NULL, message);
            if (err == SV_OK)
                err = count_messages(c, space, id);
            if (err == SV_OK)
                err = run(c,
                          "INSERT INTO message(space, chat, id, parent, body) VALUES(?1, ?2, ?3, ?4, ?5)"
                          " ON CONFLICT(space, chat, id) DO UPDATE SET parent=?4, body=?5",
                          space, text, 4, NULL);
            err = commit(c, err);
        }
        pthread_mutex_unlock(&c->lock);
    }
    sv_bytes_done(&body);
    return err;
}

sv_err sv_chats_delete(sv_chats *c, const uint8_t space[32], const char *id)
{
    int n = 0;
    pthread_mutex_lock(&c->lock);
    sv_err err = run(c, "DELETE FROM chat WHERE space=?1 AND id=?2", space, &id, 1, &n);
    pthread_mutex_unlock(&c->lock);
    if (err == SV_OK && n == 0)
        err = sv_fail(SV_E_NOTFOUND, "there is no such conversation here");
    return err;
}

/* ---- labels ---- */

sv_err sv_chats_label(sv_chats *c, const uint8_t space[32], const char *id, const char *message, const json_t *label)
{
    char now[32];
    int n = 0;
    if (!json_is_boolean(label) && !json_is_null(label))
        return sv_fail(SV_E_ARG, "label is missing or of another type; allowed: true, false, null");
    sqlite3_snprintf(sizeof now, now, "%lld", (long long)sv_clock_unix());
    const char *text[] = { id, message, json_is_null(label) ? NULL : json_is_true(label) ? "1" : "0", now };
    pthread_mutex_lock(&c->lock);
    sv_err err =
        run(c, "UPDATE message SET label=CAST(?4 AS INTEGER), labelled=?5 WHERE space=?1 AND chat=?2 AND id=?3", space,
            text, 4, &n);
    pthread_mutex_unlock(&c->lock);
    if (err == SV_OK && n == 0)
        err = sv_fail(SV_E_NOTFOUND, "there is no such message here");
    return err;
}

static const json_t *find(const json_t *list, const char *id)
{
    for (size_t i = 0; id != NULL && i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        if (strcmp(json_string_value(json_object_get(m, "id")), id) == 0)
            return m;
    }
    return NULL;
}

static json_t *plain(const json_t *m)
{
    json_t *o = json_object(), *thought = json_object_get(m, "reasoning");
    json_object_set(o, "role", json_object_get(m, "role"));
    json_object_set(o, "content", json_object_get(m, "content"));
    if (json_is_string(thought) && json_string_length(thought) > 0)
        json_object_set(o, "reasoning_content", thought);
    return o;
}

/* The branch that ends in m. A cycle of parents, which no page writes, ends by the count. */
static void put_label(const json_t *list, const json_t *m, sv_bytes *out)
{
    json_t *prompt = json_array();
    const json_t *p = m;
    for (size_t i = 0; i < json_array_size(list); i++) {
        p = find(list, json_string_value(json_object_get(p, "parent")));
        if (p == NULL)
            break;
        json_array_insert_new(prompt, 0, plain(p));
    }
    json_t *o = json_pack("{s:o, s:[o], s:O, s:s}", "prompt", prompt, "completion", plain(m), "label",
                          json_object_get(m, "label"), "source", "chat");
    sv_json_print(o, 0, out);
    sv_bytes_char(out, '\n');
    json_decref(o);
}

sv_err sv_chats_export(sv_chats *c, const uint8_t space[32], sv_bytes *out)
{
    json_t *list;
    SV_TRY(sv_chats_list(c, space, &list));
    sv_err err = SV_OK;
    for (size_t i = 0; i < json_array_size(list) && err == SV_OK; i++) {
        json_t *chat;
        err = sv_chats_get(c, space, json_string_value(json_object_get(json_array_get(list, i), "id")), &chat);
        if (err != SV_OK)
            break;
        const json_t *all = json_object_get(chat, "messages");
        for (size_t k = 0; k < json_array_size(all); k++)
            if (json_object_get(json_array_get(all, k), "label") != NULL)
                put_label(all, json_array_get(all, k), out);
        json_decref(chat);
    }
    json_decref(list);
    return err;
}

#else /* a build without SQLite keeps no conversations */

static sv_err none(void)
{
    return sv_fail(SV_E_UNSUPPORTED, "this samsvar was built without SQLite, so it keeps no conversations; install "
                                     "libsqlite3-dev and build again");
}

sv_err sv_chats_open(const char *path, uint64_t max_bytes, sv_chats **out)
{
    (void)path;
    (void)max_bytes;
    (void)out;
    return none();
}
void sv_chats_close(sv_chats *c)
{
    (void)c;
}
sv_err sv_chats_list(sv_chats *c, const uint8_t space[32], json_t **out)
{
    (void)c;
    (void)space;
    (void)out;
    return none();
}
sv_err sv_chats_get(sv_chats *c, const uint8_t space[32], const char *id, json_t **out)
{
    (void)id;
    return sv_chats_list(c, space, out);
}
sv_err sv_chats_put(sv_chats *c, const uint8_t space[32], const char *id, const json_t *o)
{
    (void)o;
    return sv_chats_delete(c, space, id);
}
sv_err sv_chats_put_message(sv_chats *c, const uint8_t space[32], const char *id, const char *message, const json_t *o)
{
    (void)message;
    return sv_chats_put(c, space, id, o);
}
sv_err sv_chats_delete(sv_chats *c, const uint8_t space[32], const char *id)
{
    (void)c;
    (void)space;
    (void)id;
    return none();
}
sv_err sv_chats_label(sv_chats *c, const uint8_t space[32], const char *id, const char *message, const json_t *label)
{
    return sv_chats_put_message(c, space, id, message, label);
}
sv_err sv_chats_export(sv_chats *c, const uint8_t space[32], sv_bytes *out)
{
    (void)out;
    return sv_chats_delete(c, space, "");
}
#endif
