/* SPDX-License-Identifier: Apache-2.0
 * The run log in SQLite.
 */
#include "train/runlog.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

bool sv_runlog_is_of_step(const json_t *event)
{
    static const char *const kind[] = { "step", "eval", "sample", "checkpoint" };
    const char *is = json_string_value(json_object_get(event, "event"));
    for (size_t i = 0; is != NULL && i < sizeof kind / sizeof *kind; i++)
        if (strcmp(is, kind[i]) == 0)
            return true;
    return false;
}

#ifdef SV_HAVE_SQLITE
#include <sqlite3.h>

enum { PUT_RUN, PUT_METRIC, PUT_EVAL, PUT_SAMPLE, PUT_EVENT, N_PUT };

struct sv_runlog {
    sqlite3 *db;
    sqlite3_stmt *put[N_PUT];
    char *path;
    bool is_open; /* a transaction of the caller's */
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS run(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS metric(step INTEGER, name TEXT, value, PRIMARY KEY(step, name)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS eval(step INTEGER, name TEXT, value REAL, low REAL, high REAL,"
    " PRIMARY KEY(step, name)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS sample(step INTEGER, row INTEGER, problem TEXT, output TEXT, verdict TEXT,"
    " reward REAL, advantage REAL, tokens INTEGER, PRIMARY KEY(step, row)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS event(id INTEGER PRIMARY KEY, time INTEGER, step INTEGER, event TEXT, json TEXT);"
    "INSERT OR REPLACE INTO run VALUES('format', 1);";

static const char *const put_text[N_PUT] = {
    [PUT_RUN] = "INSERT OR REPLACE INTO run VALUES(?, ?)",
    [PUT_METRIC] = "INSERT OR REPLACE INTO metric VALUES(?, ?, ?)",
    [PUT_EVAL] = "INSERT OR REPLACE INTO eval VALUES(?, ?, ?, ?, ?)",
    [PUT_SAMPLE] = "INSERT OR REPLACE INTO sample VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
    [PUT_EVENT] = "INSERT INTO event(time, step, event, json) VALUES(?, ?, ?, ?)",
};

static sv_err fail(const sv_runlog *l, const char *what)
{
    return sv_fail(SV_E_IO, "%s: cannot %s: %s; log.jsonl beside it has the same", l->path, what,
                   l->db ? sqlite3_errmsg(l->db) : "no memory");
}

static sv_err run(sv_runlog *l, const char *sql, const char *what)
{
    return sqlite3_exec(l->db, sql, NULL, NULL, NULL) == SQLITE_OK ? SV_OK : fail(l, what);
}

/* WAL: a commit needs no fsync, a killed process loses nothing, and a power cut at most the last moments. */
static sv_err prepare(sv_runlog *l)
{
    if (sqlite3_open_v2(l->path, &l->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
        return fail(l, "open it");
    sqlite3_busy_timeout(l->db, 2000);
    SV_TRY(run(l, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;", "open it"));
    SV_TRY(run(l, schema, "make its tables"));
    for (int i = 0; i < N_PUT; i++)
        if (sqlite3_prepare_v3(l->db, put_text[i], -1, SQLITE_PREPARE_PERSISTENT, &l->put[i], NULL) != SQLITE_OK)
            return fail(l, "read its tables");
    return SV_OK;
}

sv_err sv_runlog_open(const char *path, sv_runlog **out)
{
    sv_runlog *l = sv_mem_new(sizeof *l);
    l->path = sv_mem_text(path);
    *out = NULL;
    sv_err err = prepare(l);
    if (err != SV_OK) {
        sv_runlog_close(l);
        return err;
    }
    *out = l;
    return SV_OK;
}

void sv_runlog_close(sv_runlog *l)
{
    if (l == NULL)
        return;
    for (int i = 0; i < N_PUT; i++)
        sqlite3_finalize(l->put[i]);
    sqlite3_close(l->db);
    sv_mem_free(l->path);
    sv_mem_free(l);
}

/* ---- one event ---- */

static int64_t integer(const json_t *o, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(o, key));
}

static void bind(sqlite3_stmt *s, int at, const json_t *v)
{
    if (json_is_integer(v))
        sqlite3_bind_int64(s, at, (sqlite3_int64)json_integer_value(v));
    else if (json_is_real(v))
        sqlite3_bind_double(s, at, json_real_value(v));
    else if (json_is_boolean(v))
        sqlite3_bind_int(s, at, json_is_true(v));
    else if (json_is_string(v))
        sqlite3_bind_text(s, at, json_string_value(v), (int)json_string_length(v), SQLITE_TRANSIENT);
    else
        sqlite3_bind_null(s, at);
}

static sv_err done(sv_runlog *l, sqlite3_stmt *s)
{
    int rc = sqlite3_step(s);
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? SV_OK : fail(l, "write");
}

static int add_text(const char *text, size_t n, void *out)
{
    sv_bytes_add(out, text, n);
    return 0;
}

static void bind_json(sqlite3_stmt *s, int at, const json_t *v)
{
    sv_bytes text = { 0 };
    json_dump_callback(v, add_text, &text, JSON_COMPACT | JSON_REAL_PRECISION(9));
    sqlite3_bind_text(s, at, text.p, (int)text.n, SQLITE_TRANSIENT);
    sv_bytes_done(&text);
}

static sv_err put_fact(sv_runlog *l, const char *key, const json_t *v)
{
    sqlite3_stmt *s = l->put[PUT_RUN];
    sqlite3_bind_text(s, 1, key, -1, SQLITE_TRANSIENT);
    if (json_is_object(v))
        bind_json(s, 2, v);
    else
        bind(s, 2, v);
    return done(l, s);
}

static sv_err put_metrics(sv_runlog *l, const json_t *event)
{
    sqlite3_stmt *s = l->put[PUT_METRIC];
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)event, key, v)
    {
        if (strcmp(key, "event") == 0 || strcmp(key, "v") == 0 || strcmp(key, "step") == 0)
            continue;
        sqlite3_bind_int64(s, 1, integer(event, "step"));
        sqlite3_bind_text(s, 2, key, -1, SQLITE_TRANSIENT);
        bind(s, 3, v);
        SV_TRY(done(l, s));
    }
    return SV_OK;
}

static sv_err put_figures(sv_runlog *l, const json_t *event)
{
    sqlite3_stmt *s = l->put[PUT_EVAL];
    const char *key;
    json_t *v;
    json_object_foreach(json_object_get(event, "metrics"), key, v)
    {
        sqlite3_bind_int64(s, 1, integer(event, "step"));
        sqlite3_bind_text(s, 2, key, -1, SQLITE_TRANSIENT);
        bind(s, 3, json_object_get(v, "value"));
        bind(s, 4, json_object_get(v, "low"));
        bind(s, 5, json_object_get(v, "high"));
        SV_TRY(done(l, s));
    }
    return SV_OK;
}

static sv_err put_sample(sv_runlog *l, const json_t *event)
{
    static const char *const column[] = {
        "step", "row", "problem", "output", "verdict", "reward", "advantage", "tokens"
    };
    sqlite3_stmt *s = l->put[PUT_SAMPLE];
    for (int i = 0; i < 8; i++)
        bind(s, i + 1, json_object_get(event, column[i]));
    return done(l, s);
}

static sv_err put_other(sv_runlog *l, const json_t *event, const char *kind)
{
    static const char *const key[] = { "recipe", "method", "name", "steps", "opset" };
    sqlite3_stmt *s = l->put[PUT_EVENT];
    for (size_t i = 0; strcmp(kind, "open") == 0 && i < sizeof key / sizeof *key; i++)
        if (json_object_get(event, key[i]) != NULL)
            SV_TRY(put_fact(l, key[i], json_object_get(event, key[i])));
    bind(s, 1, json_object_get(event, "time"));
    bind(s, 2, json_object_get(event, "step"));
    sqlite3_bind_text(s, 3, kind, -1, SQLITE_TRANSIENT);
    bind_json(s, 4, event);
    return done(l, s);
}

sv_err sv_runlog_begin(sv_runlog *l)
{
    SV_TRY(run(l, "BEGIN IMMEDIATE", "write"));
    l->is_open = true;
    return SV_OK;
}

sv_err sv_runlog_end(sv_runlog *l)
{
    l->is_open = false;
    return run(l, "COMMIT", "write");
}

sv_err sv_runlog_put(sv_runlog *l, const json_t *event)
{
    const char *kind = json_string_value(json_object_get(event, "event"));
    bool own = !l->is_open;
    if (kind == NULL)
        return SV_OK;
    if (own)
        SV_TRY(run(l, "BEGIN IMMEDIATE", "write"));
    sv_err err = strcmp(kind, "step") == 0     ? put_metrics(l, event)
                 : strcmp(kind, "eval") == 0   ? put_figures(l, event)
                 : strcmp(kind, "sample") == 0 ? put_sample(l, event)
                                               : put_other(l, event, kind);
    if (err == SV_OK && own)
        err = run(l, "COMMIT", "write");
    if (err != SV_OK && own)
        sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

sv_err sv_runlog_cut(sv_runlog *l, uint64_t step, uint64_t *n_step)
{
    static const char *const sql[] = { "DELETE FROM metric WHERE step > ?", "DELETE FROM eval WHERE step > ?",
                                       "DELETE FROM sample WHERE step > ?",
                                       "DELETE FROM event WHERE event = 'checkpoint' AND step > ?",
                                       "SELECT count(DISTINCT step) FROM metric WHERE step <= ?" };
    *n_step = 0;
    for (size_t i = 0; i < sizeof sql / sizeof *sql; i++) {
        sqlite3_stmt *s;
        if (sqlite3_prepare_v2(l->db, sql[i], -1, &s, NULL) != SQLITE_OK)
            return fail(l, "read its tables");
        sqlite3_bind_int64(s, 1, (sqlite3_int64)step);
        int rc = sqlite3_step(s);
        if (rc == SQLITE_ROW)
            *n_step = (uint64_t)sqlite3_column_int64(s, 0);
        sqlite3_finalize(s);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            return fail(l, "forget the steps that are made again");
    }
    return SV_OK;
}

#else

sv_err sv_runlog_open(const char *path, sv_runlog **out)
{
    *out = NULL;
    return sv_fail(SV_E_UNSUPPORTED, "%s: built without SQLite; log.jsonl beside it has the same", path);
}

sv_err sv_runlog_put(sv_runlog *l, const json_t *event)
{
    (void)l;
    (void)event;
    return SV_OK;
}

sv_err sv_runlog_cut(sv_runlog *l, uint64_t step, uint64_t *n_step)
{
    (void)l;
    (void)step;
    *n_step = 0;
    return SV_OK;
}

sv_err sv_runlog_begin(sv_runlog *l)
{
    (void)l;
    return SV_OK;
}

sv_err sv_runlog_end(sv_runlog *l)
{
    (void)l;
    return SV_OK;
}

void sv_runlog_close(sv_runlog *l)
{
    (void)l;
}

#endif
