/* SPDX-License-Identifier: Apache-2.0
 * Rows of a file, made into ids at open, in the order of an epoch permutation; and rows of a task, made when asked for.
 */
#include "train/data.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/sha.h"
#include "num/bits.h"
#include "num/philox.h"

typedef enum kind { KIND_TASK, KIND_TEXT, KIND_CHAT, KIND_COMPLETION, KIND_IDS } kind;
static const char *const kind_name[] = { "task", "text", "chat", "completion", "ids" };

/* Rows one behind the other. */
typedef struct row_set {
    int32_t *id;
    uint8_t *counted;
    uint64_t *start; /* [n_row + 1] */
    size_t n, cap_id, cap_counted, n_start, cap_start;
    uint64_t *line; /* [n_row] of the file, for messages */
    size_t n_line, cap_line;
} row_set;

struct sv_data {
    const sv_model *m;
    const sv_task *task;
    sv_encoder enc;
    uint64_t seed;
    double worked;
    kind kind;
    uint32_t max_tokens;
    const char *on_long;
    row_set train, eval;
    sv_arena *row_arena; /* rows of a task that were given out */
    sv_data_stats stats;
};

uint64_t sv_data_order(uint64_t seed, uint64_t epoch, uint64_t position, uint64_t n)
{
    uint32_t half = 1;
    while (half < 32 && (UINT64_C(1) << (2 * half)) < n)
        half++;
    uint64_t mask = (UINT64_C(1) << half) - 1, x = position;
    SV_ASSERT(position < n);
    do {
        uint64_t left = x >> half, right = x & mask;
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t f = sv_philox_at(seed, SV_STREAM_EPOCH, (uint32_t)epoch, i, (uint32_t)right).w[0];
            uint64_t next = left ^ (f & mask);
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= n);
    return x;
}

/* ---- the encoder ---- */

void sv_encoder_begin(sv_encoder *e)
{
    e->ids.n = 0;
}

static void mark_new(sv_encoder *e, size_t from, bool counted)
{
    if (e->ids.n > e->cap_counted) {
        size_t cap = e->cap_counted ? e->cap_counted : 64;
        while (cap < e->ids.n)
            cap *= 2;
        e->counted = sv_mem_grow(e->counted, e->cap_counted, cap);
        e->cap_counted = cap;
    }
    if (e->ids.n > from)
        memset(e->counted + from, counted, e->ids.n - from);
}

sv_err sv_encoder_marked(sv_encoder *e, const sv_marked *text, bool counted)
{
    size_t from = e->ids.n;
    SV_TRY(sv_tokenizer_encode(e->m->tokenizer, text, &e->ids));
    mark_new(e, from, counted);
    return SV_OK;
}

sv_err sv_encoder_text(sv_encoder *e, sv_str text, bool trusted, bool counted)
{
    size_t from = e->ids.n;
    SV_TRY(sv_tokenizer_encode_plain(e->m->tokenizer, text, trusted, &e->ids));
    mark_new(e, from, counted);
    return SV_OK;
}

void sv_encoder_id(sv_encoder *e, uint32_t id, bool counted)
{
    size_t from = e->ids.n;
    SV_PUSH(e->ids.id, e->ids.n, e->ids.cap, id);
    mark_new(e, from, counted);
}

bool sv_encoder_is_end(const sv_encoder *e, uint32_t id)
{
    for (uint32_t i = 0; i < e->m->config.n_eos; i++)
        if (e->m->config.eos[i] == id)
            return true;
    return false;
}

static sv_err load_template(sv_encoder *e, const sv_recipe *r)
{
    const char *name = sv_recipe_text(r, SV_KEY_DATA_TEMPLATE);
    if (strcmp(name, "none") == 0) {
        e->allow_string_prompt = true;
        return SV_OK;
    }
    if (strcmp(name, "model") == 0) {
        e->chat = e->m->chat_template;
        return SV_OK;
    }
    sv_arena *a = sv_arena_make();
    sv_str source;
    sv_err err = sv_file_read(name, 256u << 10, a, &source);
    if (err == SV_OK)
        err = sv_template_make(source, name, &e->own);
    e->chat = e->own;
    sv_arena_drop(a);
    return err;
}

/* ---- rows of a file ---- */

static void push_row(row_set *s, const uint32_t *id, const uint8_t *counted, size_t n, uint64_t line)
{
    if (s->n_start == 0)
        SV_PUSH(s->start, s->n_start, s->cap_start, 0);
    for (size_t i = 0; i < n; i++) {
        size_t at = s->n;
        SV_PUSH(s->id, s->n, s->cap_id, (int32_t)id[i]);
        SV_PUSH(s->counted, at, s->cap_counted, i > 0 && counted[i]);
    }
    SV_PUSH(s->start, s->n_start, s->cap_start, s->n);
    SV_PUSH(s->line, s->n_line, s->cap_line, line);
}

static void drop_rows(row_set *s)
{
    sv_mem_free(s->id);
    sv_mem_free(s->counted);
    sv_mem_free(s->start);
    sv_mem_free(s->line);
    *s = (row_set){ 0 };
}

static sv_row row_of(const row_set *s, uint64_t i)
{
    uint64_t at = s->start[i];
    return (sv_row){ .id = s->id + at, .counted = s->counted + at, .n = (uint32_t)(s->start[i + 1] - at) };
}

static sv_err line_ids(sv_data *d, const json_t *line, const char *where)
{
    const json_t *ids = json_object_get(line, "ids"), *mask = json_object_get(line, "mask");
    uint32_t n_vocab = d->m->config.n_vocab;
    if (!json_is_array(ids))
        return sv_fail(SV_E_FORMAT, "%s: 'ids' has to be a list of token ids", where);
    if (mask != NULL && json_array_size(mask) != json_array_size(ids))
        return sv_fail(SV_E_FORMAT, "%s: 'mask' has %zu items, 'ids' %zu; they go together", where,
                       json_array_size(mask), json_array_size(ids));
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        json_int_t v = json_is_integer(id) ? json_integer_value(id) : -1;
        if (v < 0 || v >= (json_int_t)n_vocab)
            return sv_fail(SV_E_FORMAT, "%s: item %zu of 'ids' is no token; allowed: 0 to %u", where, i, n_vocab - 1);
        sv_encoder_id(&d->enc, (uint32_t)v, mask == NULL || json_integer_value(json_array_get(mask, i)) != 0);
    }
    return SV_OK;
}

static sv_err line_text(sv_data *d, const json_t *line, const char *where)
{
    const json_t *text = json_object_get(line, "text");
    if (!json_is_string(text))
        return sv_fail(SV_E_FORMAT, "%s: 'text' has to be a string", where);
    if (d->m->add_bos && d->m->config.bos >= 0)
        sv_encoder_id(&d->enc, (uint32_t)d->m->config.bos, false);
    sv_err err = sv_encoder_text(&d->enc, (sv_str){ json_string_value(text), json_string_length(text) }, false, true);
    if (err != SV_OK)
        return sv_fail_in(err, "%s: ", where);
    if (d->m->config.n_eos > 0)
        sv_encoder_id(&d->enc, d->m->config.eos[0], true);
    return SV_OK;
}

static sv_err fit_kind(sv_data *d, const char *wanted, const json_t *line, const char *where)
{
    static const char *const key[] = { NULL, "text", "messages", "prompt", "ids" };
    for (int k = KIND_TEXT; k <= KIND_IDS; k++) {
        bool has = json_object_get(line, key[k]) != NULL;
        if (strcmp(wanted, "auto") == 0 ? has : strcmp(wanted, kind_name[k]) == 0) {
            d->kind = (kind)k;
            d->stats.kind = kind_name[k];
            return SV_OK;
        }
    }
    return sv_fail(SV_E_FORMAT,
                   "%s: no kind of training line: it has none of the keys text, messages, prompt and "
                   "completion, ids; an example: {\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, "
                   "{\"role\": \"assistant\", \"content\": \"Hello\"}]}",
                   where);
}

static sv_err encode_line(sv_data *d, const json_t *line, const char *where)
{
    sv_encoder_begin(&d->enc);
    switch (d->kind) {
    case KIND_TEXT:
        return line_text(d, line, where);
    case KIND_CHAT:
        return sv_data_chat(&d->enc, line, where);
    case KIND_COMPLETION:
        return sv_data_completion(&d->enc, line, where);
    default:
        return line_ids(d, line, where);
    }
}

typedef struct long_rows {
    uint64_t n, line[3];
    size_t length[3];
} long_rows;

static void note_long(long_rows *l, uint64_t line, size_t length)
{
    l->n++;
    for (int i = 0; i < 3; i++) {
        if (length <= l->length[i])
            continue;
        uint64_t t = l->line[i];
        size_t u = l->length[i];
        l->line[i] = line, l->length[i] = length;
        line = t, length = u;
    }
}

static bool any_counted(const uint8_t *counted, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (counted[i])
            return true;
    return false;
}

/* The row at hand goes to the set: whole, cut, in windows (text), or not at all. */
static void keep_row(sv_data *d, row_set *s, uint64_t line, long_rows *l)
{
    const uint32_t *id = d->enc.ids.id;
    const uint8_t *counted = d->enc.counted;
    size_t n = d->enc.ids.n, max = d->max_tokens;
    if (d->kind == KIND_TEXT) { /* windows overlap by one token, so that each token but the first is a target once */
        for (size_t at = 0; at + 1 < n; at += max - 1)
            push_row(s, id + at, counted + at, n - at < max ? n - at : max, line);
        return;
    }
    if (n > max) {
        size_t cut = n - max, first = 1;
        while (first < n && !counted[first])
            first++;
        note_long(l, line, n);
        d->stats.n_long++;
        if (strcmp(d->on_long, "truncate") != 0 || first <= cut)
            return;
        id += cut, counted += cut, n = max;
    }
    if (n < 2 || !any_counted(counted, n))
        d->stats.n_empty++;
    else
        push_row(s, id, counted, n, line);
}

static sv_err read_lines(sv_data *d, sv_jsonl *r, row_set *s, const char *wanted)
{
    sv_jsonl_line line;
    json_t *v;
    long_rows l = { 0 };
    sv_bytes where = { 0 };
    sv_err err;
    for (bool first = true; (err = sv_jsonl_next(r, &line, &v)) == SV_OK && v != NULL; first = false) {
        sv_bytes_clear(&where);
        sv_bytes_printf(&where, "%s:%llu", sv_jsonl_name(r), (unsigned long long)line.number);
        if (first)
            err = fit_kind(d, wanted, v, where.p);
        if (err == SV_OK)
            err = encode_line(d, v, where.p);
        json_decref(v);
        if (err != SV_OK)
            break;
        keep_row(d, s, line.number, &l);
    }
    sv_bytes_done(&where);
    SV_TRY(err);
    if (l.n > 0 && strcmp(d->on_long, "error") == 0)
        return sv_fail(SV_E_ARG,
                       "%s: %llu rows are longer than %u tokens; the longest: line %llu (%zu), %llu (%zu), %llu (%zu). "
                       "Write data.long: drop or truncate, or raise data.max_tokens",
                       sv_jsonl_name(r), (unsigned long long)l.n, d->max_tokens, (unsigned long long)l.line[0],
                       l.length[0], (unsigned long long)l.line[1], l.length[1], (unsigned long long)l.line[2],
                       l.length[2]);
    if (s->n_line == 0)
        return sv_fail(SV_E_FORMAT, "%s: no row to train on", sv_jsonl_name(r));
    return SV_OK;
}

static sv_err read_file(sv_data *d, const char *path, const char *wanted, row_set *s, uint8_t hash[32])
{
    sv_jsonl *r;
    SV_TRY(sv_jsonl_open(path, &r));
    sv_err err = read_lines(d, r, s, wanted);
    sv_str bytes = sv_jsonl_bytes(r);
    if (err == SV_OK)
        sv_sha_of(bytes.p, bytes.n, hash);
    sv_jsonl_close(r);
    return err;
}

/* ---- what is held out must not be trained on ---- */

typedef struct seen {
    uint64_t hash, row;
} seen;

/* Tokens that make up the problem of a row: what stands in front of the first that counts, or all of them. */
static uint32_t problem_of(const sv_row *row)
{
    uint32_t n = 0;
    while (n < row->n && !row->counted[n])
        n++;
    return n > 1 && n < row->n ? n : row->n;
}

static uint64_t hash_problem(const sv_row *row)
{
    uint64_t h = SV_FNV_START;
    for (uint32_t i = 0, n = problem_of(row); i < n; i++)
        h = sv_fnv_word(h, (uint32_t)row->id[i]);
    return h;
}

static int by_hash(const void *x, const void *y)
{
    const seen *a = x, *b = y;
    return a->hash != b->hash ? (a->hash < b->hash ? -1 : 1) : a->row < b->row ? -1 : a->row > b->row;
}

static bool same_problem(const sv_row *a, const sv_row *b)
{
    uint32_t n = problem_of(a);
    return n == problem_of(b) && memcmp(a->id, b->id, n * sizeof *a->id) == 0;
}

static sv_err check_held_out(const sv_data *d, const sv_recipe *r)
{
    uint64_t n = d->eval.n_line;
    seen *all = sv_mem_new((size_t)(n + 1) * sizeof *all);
    sv_err err = SV_OK;
    for (uint64_t i = 0; i < n; i++) {
        sv_row row = row_of(&d->eval, i);
        all[i] = (seen){ hash_problem(&row), i };
    }
    qsort(all, (size_t)n, sizeof *all, by_hash);
    for (uint64_t i = 0; err == SV_OK && n > 0 && i < d->train.n_line; i++) {
        sv_row row = row_of(&d->train, i), held;
        seen want = { hash_problem(&row), 0 };
        uint64_t low = 0, high = n;
        while (low < high) {
            uint64_t mid = (low + high) / 2;
            if (by_hash(&all[mid], &want) < 0)
                low = mid + 1;
            else
                high = mid;
        }
        for (; low < n && all[low].hash == want.hash && err == SV_OK; low++) {
            held = row_of(&d->eval, all[low].row);
            if (same_problem(&row, &held))
                err = sv_fail(SV_E_ARG,
                              "%s:%llu is the problem of %s:%llu: what is held out must not be trained on; take it out "
                              "of one of them",
                              sv_recipe_text(r, SV_KEY_DATA_PATH), (unsigned long long)d->train.line[i],
                              sv_recipe_text(r, SV_KEY_EVAL_DATA), (unsigned long long)d->eval.line[all[low].row]);
        }
    }
    sv_mem_free(all);
    return err;
}

static sv_err open_files(sv_data *d, const sv_recipe *r)
{
    const char *held_out = sv_recipe_text(r, SV_KEY_EVAL_DATA), *wanted = sv_recipe_text(r, SV_KEY_DATA_KIND);
    uint8_t unused[32];
    if (held_out[0] != '\0')
        SV_TRY(read_file(d, held_out, wanted, &d->eval, unused));
    d->enc.n_turn_left = d->stats.n_long = d->stats.n_empty = 0;
    SV_TRY(read_file(d, sv_recipe_text(r, SV_KEY_DATA_PATH), wanted, &d->train, d->stats.hash));
    d->stats.n_row = d->train.n_line;
    d->stats.n_token = d->train.n;
    d->stats.n_turn_left = d->enc.n_turn_left;
    for (size_t i = 0; i < d->train.n; i++)
        d->stats.n_counted += d->train.counted[i];
    return check_held_out(d, r);
}

static sv_err open_task(sv_data *d, const char *name)
{
    d->task = sv_task_find(name);
    d->kind = KIND_TASK;
    d->stats.kind = kind_name[KIND_TASK];
    if (d->task == NULL)
        return sv_fail(SV_E_ARG, "data.task: no task '%s'; built in: %s", sv_str_quote(sv_str_of(name)),
                       sv_task_names());
    if (d->m->config.n_eos == 0)
        return sv_fail(SV_E_FORMAT, "%s: the model has no end token in config.json", name);
    sv_sha_of(name, strlen(name), d->stats.hash);
    return SV_OK;
}

static sv_err fill(sv_data *d, const sv_recipe *r, uint32_t n_ctx)
{
    uint64_t max = sv_recipe_u64(r, SV_KEY_DATA_MAX_TOKENS);
    const char *task = sv_recipe_text(r, SV_KEY_TASK);
    d->max_tokens = max > 0 ? (uint32_t)max : n_ctx;
    if (d->max_tokens > n_ctx || d->max_tokens < 2)
        return sv_fail(SV_E_ARG, "data.max_tokens is %u; allowed: 2 to the model's context, %u", d->max_tokens, n_ctx);
    if (d->m->tokenizer == NULL && !sv_recipe_is(r, SV_KEY_DATA_KIND, "ids"))
        return sv_model_need_tokenizer(d->m);
    d->enc.trust_completion = !sv_recipe_is(r, SV_KEY_DATA_TRUST, "none");
    d->enc.trust_prompt = sv_recipe_is(r, SV_KEY_DATA_TRUST, "all");
    d->enc.last_turn_only = sv_recipe_bool(r, SV_KEY_DATA_LAST_TURN);
    SV_TRY(load_template(&d->enc, r));
    bool has_rows = !sv_recipe_is(r, SV_KEY_METHOD, "rl") && !sv_recipe_is(r, SV_KEY_METHOD, "opd");
    if (task[0] == '\0' && !has_rows) { /* problems, which rl/ reads */
        d->stats.kind = "problems";
        return sv_data_hash(r, d->stats.hash);
    }
    return task[0] != '\0' ? open_task(d, task) : open_files(d, r);
}

sv_err sv_data_open(const sv_recipe *r, const sv_model *m, uint32_t n_ctx, sv_data **out)
{
    sv_data *d = sv_mem_new(sizeof *d);
    d->m = d->enc.m = m;
    d->seed = sv_recipe_u64(r, SV_KEY_SEED);
    d->worked = sv_recipe_f64(r, SV_KEY_DATA_WORKED);
    d->on_long = sv_recipe_text(r, SV_KEY_DATA_LONG);
    d->row_arena = sv_arena_make();
    sv_err err = fill(d, r, n_ctx);
    if (err != SV_OK) {
        sv_data_close(d);
        return err;
    }
    *out = d;
    return SV_OK;
}

void sv_data_close(sv_data *d)
{
    if (d == NULL)
        return;
    drop_rows(&d->train);
    drop_rows(&d->eval);
    sv_template_drop(d->enc.own);
    sv_ids_done(&d->enc.ids);
    sv_mem_free(d->enc.counted);
    sv_arena_drop(d->row_arena);
    sv_mem_free(d);
}

sv_err sv_data_hash(const sv_recipe *r, uint8_t out[32])
{
    const char *task = sv_recipe_text(r, SV_KEY_TASK);
    sv_file_map map;
    if (task[0] != '\0') {
        sv_sha_of(task, strlen(task), out);
        return SV_OK;
    }
    SV_TRY(sv_file_map_open(sv_recipe_text(r, SV_KEY_DATA_PATH), &map));
    sv_sha_of(map.p, map.n, out);
    sv_file_map_close(&map);
    return SV_OK;
}

const sv_data_stats *sv_data_stats_of(const sv_data *d)
{
    return &d->stats;
}
void sv_data_recycle(sv_data *d)
{
    sv_arena_reset(d->row_arena);
}

/* A model made for the task, with its tokens; another one is taught by its own chat template, as RL asks it. */
static bool is_own(const sv_data *d)
{
    return d->m->chat_template == NULL || sv_str_is(sv_tokenizer_json(d->m->tokenizer), d->task->tokenizer_json);
}

/* Message, "<think>", completion, end: what the task's chat template makes of it. */
static sv_err own_text(sv_data *d, const sv_bytes *message, const sv_bytes *completion)
{
    sv_encoder *e = &d->enc;
    SV_TRY(sv_encoder_text(e, (sv_str){ message->p, message->n }, false, false));
    SV_TRY(sv_encoder_text(e, SV_STR("<think>"), true, false));
    SV_TRY(sv_encoder_text(e, (sv_str){ completion->p, completion->n }, true, true));
    sv_encoder_id(e, d->m->config.eos[0], true);
    return SV_OK;
}

static sv_err chat_text(sv_data *d, const sv_bytes *message, const sv_bytes *completion)
{
    sv_bytes answer = { 0 };
    sv_bytes_printf(&answer, "<think>%s", completion->p);
    json_t *line = json_pack("{s:[{s:s, s:s}, {s:s, s:s}]}", "messages", "role", "user", "content", message->p, "role",
                             "assistant", "content", answer.p);
    sv_err err = sv_data_chat(&d->enc, line, d->task->name);
    json_decref(line);
    sv_bytes_done(&answer);
    return err;
}

static sv_err task_row(sv_data *d, const sv_bytes *message, const sv_bytes *completion, sv_row *out)
{
    sv_encoder *e = &d->enc;
    sv_encoder_begin(e);
    SV_TRY((is_own(d) ? own_text : chat_text)(d, message, completion));
    if (e->ids.n > d->max_tokens)
        return sv_fail(SV_E_ARG, "task %s: a row has %zu tokens; the model takes %u", d->task->name, e->ids.n,
                       d->max_tokens);
    int32_t *id = SV_NEW_N(d->row_arena, int32_t, e->ids.n);
    uint8_t *counted = SV_NEW_N(d->row_arena, uint8_t, e->ids.n);
    for (size_t i = 0; i < e->ids.n; i++)
        id[i] = (int32_t)e->ids.id[i];
    memcpy(counted, e->counted, e->ids.n);
    *out = (sv_row){ .id = id, .counted = counted, .n = (uint32_t)e->ids.n };
    return SV_OK;
}

static sv_err made_row(sv_data *d, bool held_out, uint32_t step, uint32_t i, sv_row *out)
{
    sv_bytes message = { 0 }, completion = { 0 };
    if (held_out) {
        d->task->problem(d->seed, SV_SPLIT_TEST, i, &message);
        SV_ASSERT(d->task->solve((sv_str){ message.p, message.n }, &completion, NULL));
    } else {
        d->task->row(d->seed, step, i, d->worked, &message, &completion);
    }
    sv_err err = task_row(d, &message, &completion, out);
    sv_bytes_done(&message);
    sv_bytes_done(&completion);
    return err;
}

sv_err sv_data_row(sv_data *d, uint64_t step, uint64_t cursor, uint32_t b, sv_row *out)
{
    if (d->task != NULL)
        return made_row(d, false, (uint32_t)step, b, out);
    uint64_t n = d->train.n_line, p = cursor + b;
    *out = row_of(&d->train, sv_data_order(d->seed, p / n, p % n, n));
    return SV_OK;
}

uint32_t sv_data_n_eval(const sv_data *d)
{
    return d->task ? d->task->n_test : (uint32_t)d->eval.n_line;
}

sv_err sv_data_eval_row(sv_data *d, uint32_t i, sv_row *out)
{
    if (d->task != NULL)
        return made_row(d, true, 0, i, out);
    *out = row_of(&d->eval, i);
    return SV_OK;
}
