/* SPDX-License-Identifier: Apache-2.0
 * Recipes: the table of keys, typed values from YAML and from overrides, and the contract that a resumed run must keep.
 */
#include "train/recipe.h"

#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/sha.h"

typedef enum key_type { T_U64, T_F64, T_BOOL, T_TEXT, T_WORD } key_type;

typedef struct key_row {
    const char *key;
    key_type type;
    const char *dflt;
    double min, max;
    bool is_result;
    const char *words; /* what it is; for T_WORD the allowed words */
} key_row;

#define R 1
static const key_row rows[SV_KEY_COUNT] = {
#define SV_KEY(name, key, type, dflt, min, max, flags, words) { key, T_##type, dflt, min, max, (flags) != 0, words },
#include "train/recipe.def"
#undef SV_KEY
};
#undef R

/* model.new.KEY: what config.json says of a dense family. */
static const key_row model_rows[] = {
    { "model.new.model_type", T_TEXT, "", 0, 0, true, "family" },
    { "model.new.hidden_size", T_U64, "", 1, 65536, true, "channels" },
    { "model.new.num_hidden_layers", T_U64, "", 1, 1024, true, "layers" },
    { "model.new.num_attention_heads", T_U64, "", 1, 1024, true, "query heads" },
    { "model.new.num_key_value_heads", T_U64, "", 1, 1024, true, "key heads" },
    { "model.new.head_dim", T_U64, "", 1, 4096, true, "channels of a head" },
    { "model.new.intermediate_size", T_U64, "", 1, 1048576, true, "channels inside the feed-forward part" },
    { "model.new.vocab_size", T_U64, "", 1, 4194304, true, "tokens" },
    { "model.new.max_position_embeddings", T_U64, "", 1, 16777216, true, "context" },
    { "model.new.rms_norm_eps", T_F64, "", 0, 1, true, "added to the mean square" },
    { "model.new.rope_theta", T_F64, "", 1, 1e12, true, "base of the rotation" },
    { "model.new.tie_word_embeddings", T_BOOL, "", 0, 0, true, "one table for input and output" },
    { "model.new.attention_bias", T_BOOL, "", 0, 0, true, "biases of q, k, v" },
    { "model.new.hidden_act", T_TEXT, "", 0, 0, true, "silu" },
    { "model.new.bos_token_id", T_U64, "", 0, 4194304, true, "id" },
    { "model.new.eos_token_id", T_U64, "", 0, 4194304, true, "id" },
    { "model.new.pad_token_id", T_U64, "", 0, 4194304, true, "id" },
};
#define N_MODEL (sizeof model_rows / sizeof *model_rows)

typedef struct value {
    bool given;
    uint32_t line; /* 0: --set */
    uint64_t u;
    double f;
    bool b;
    const char *text; /* as written */
} value;

struct sv_recipe {
    sv_arena *arena;
    const char *name;
    value v[SV_KEY_COUNT];
    json_t *model; /* or NULL */
    bool overriding;
};

static const char *place(const sv_recipe *r, uint32_t line)
{
    return line ? sv_arena_printf(r->arena, "%s:%u", r->name, line) : "--set";
}

static bool has_word(const char *list, sv_str word)
{
    for (const char *p = list; *p != '\0'; p += *p == '|') {
        size_t n = strcspn(p, "|");
        if (n == word.n && memcmp(p, word.p, n) == 0)
            return true;
        p += n;
    }
    return false;
}

static sv_err wrong(const sv_recipe *r, const key_row *row, sv_str text, uint32_t line, const char *allowed)
{
    return sv_fail(SV_E_ARG, "%s: %s is '%s'; allowed: %s (%s)", place(r, line), row->key, sv_str_quote(text), allowed,
                   row->type == T_WORD ? "one of these words" : row->words);
}

/* Types one scalar by its row. */
static sv_err type_value(const sv_recipe *r, const key_row *row, sv_str text, uint32_t line, value *out)
{
    *out = (value){ .given = true, .line = line, .text = sv_arena_textn(r->arena, text.p, text.n) };
    const char *range = sv_arena_printf(r->arena, "%s from %.17g to %.17g",
                                        row->type == T_U64 ? "a whole number" : "a number", row->min, row->max);
    switch (row->type) {
    case T_U64:
        if (!sv_str_u64(text, &out->u) || (double)out->u < row->min || (double)out->u > row->max)
            return wrong(r, row, text, line, range);
        return SV_OK;
    case T_F64:
        if (!sv_str_f64(text, &out->f) || !(out->f >= row->min && out->f <= row->max))
            return wrong(r, row, text, line, range);
        return SV_OK;
    case T_BOOL:
        if (!has_word("true|false", text))
            return wrong(r, row, text, line, "true, false");
        out->b = text.p[0] == 't';
        return SV_OK;
    case T_WORD:
        return has_word(row->words, text) ? SV_OK : wrong(r, row, text, line, row->words);
    default:
        return text.n <= 4096 ? SV_OK : wrong(r, row, text, line, "at most 4,096 bytes");
    }
}

static json_t *json_of(const key_row *row, const value *v)
{
    switch (row->type) {
    case T_U64:
        return json_integer((json_int_t)v->u);
    case T_F64:
        return json_real(v->f);
    case T_BOOL:
        return json_boolean(v->b);
    default:
        return json_string(v->text);
    }
}

static sv_err unknown_key(const sv_recipe *r, const char *key, uint32_t line)
{
    const char *names[SV_KEY_COUNT + N_MODEL];
    size_t n = 0;
    for (size_t i = 0; i < SV_KEY_COUNT; i++)
        names[n++] = rows[i].key;
    for (size_t i = 0; i < N_MODEL; i++)
        names[n++] = model_rows[i].key;
    const char *near = sv_str_nearest(key, names, n);
    return sv_fail(SV_E_ARG, "%s: unknown key '%s'%s%s%s", place(r, line), sv_str_quote(sv_str_of(key)),
                   near ? "; did you mean '" : "; `samsvar train --help` lists the keys", near ? near : "",
                   near ? "'" : "");
}

static sv_err set_value(void *arg, const char *key, sv_str text, uint32_t line)
{
    sv_recipe *r = arg;
    for (size_t i = 0; i < SV_KEY_COUNT; i++) {
        if (strcmp(rows[i].key, key) != 0)
            continue;
        if (r->v[i].given && !r->overriding)
            return sv_fail(SV_E_ARG, "%s: %s stands twice; the first is in line %u", place(r, line), key, r->v[i].line);
        return type_value(r, &rows[i], text, line, &r->v[i]);
    }
    for (size_t i = 0; i < N_MODEL; i++) {
        value v;
        if (strcmp(model_rows[i].key, key) != 0)
            continue;
        if (r->model == NULL)
            r->model = json_object();
        if (!r->overriding && json_object_get(r->model, key + strlen("model.new.")) != NULL)
            return sv_fail(SV_E_ARG, "%s: %s stands twice", place(r, line), key);
        SV_TRY(type_value(r, &model_rows[i], text, line, &v));
        json_object_set_new(r->model, key + strlen("model.new."), json_of(&model_rows[i], &v));
        return SV_OK;
    }
    return unknown_key(r, key, line);
}

static sv_err set_defaults(sv_recipe *r)
{
    for (size_t i = 0; i < SV_KEY_COUNT; i++) {
        if (r->v[i].given)
            continue;
        SV_TRY(type_value(r, &rows[i], sv_str_of(rows[i].dflt), 0, &r->v[i]));
        r->v[i].given = false;
    }
    return SV_OK;
}

/* Trains on its own answers. */
static bool is_rl(const sv_recipe *r)
{
    return sv_recipe_is(r, SV_KEY_METHOD, "rl") || sv_recipe_is(r, SV_KEY_METHOD, "opd");
}

/* Distillation on the student's own answers has a teacher and no baseline. */
static sv_err check_opd(const sv_recipe *r)
{
    bool opd = sv_recipe_is(r, SV_KEY_METHOD, "opd"), teacher = sv_recipe_text(r, SV_KEY_OPD_TEACHER)[0] != '\0';
    if (opd != teacher)
        return sv_fail(SV_E_ARG, "%s: %s", r->name,
                       opd ? "train.method: opd needs opd.teacher, a model with the same tokens"
                           : "opd.teacher belongs to train.method: opd");
    static const sv_key none[] = { SV_KEY_RL_ADVANTAGE, SV_KEY_RL_LOSS, SV_KEY_RL_KL, SV_KEY_RL_RESAMPLE };
    for (size_t i = 0; opd && i < sizeof none / sizeof *none; i++)
        if (r->v[none[i]].given)
            return sv_fail(SV_E_ARG, "%s: %s belongs to train.method: rl; opd learns from the teacher alone",
                           place(r, r->v[none[i]].line), rows[none[i]].key);
    if (opd && r->v[SV_KEY_RL_UPDATES].u != 1)
        return sv_fail(SV_E_ARG, "%s: rl.updates is %llu; opd makes one update of each batch of answers", r->name,
                       (unsigned long long)r->v[SV_KEY_RL_UPDATES].u);
    return SV_OK;
}

/* What RL cannot be: a ratio that is biased, a baseline of nothing, more updates than answers. */
static sv_err check_rl(const sv_recipe *r)
{
    static const sv_key f64[] = { SV_KEY_ROLLOUT_TEMP, SV_KEY_ROLLOUT_TOP_P, SV_KEY_ROLLOUT_MIN_P,
                                  SV_KEY_ROLLOUT_REPETITION };
    static const char *const neutral[] = { "1", "1", "0", "1" };
    static const char why[] = "the sampler would draw from another distribution than the one whose log-prob is "
                              "trained, and every ratio would be biased";
    for (size_t i = 0; i < sizeof f64 / sizeof *f64; i++)
        if (r->v[f64[i]].f != (double)(neutral[i][0] - '0'))
            return sv_fail(SV_E_ARG, "%s: %s is %s: %s; use %s", place(r, r->v[f64[i]].line), rows[f64[i]].key,
                           r->v[f64[i]].text, why, neutral[i]);
    if (r->v[SV_KEY_ROLLOUT_TOP_K].u != 0)
        return sv_fail(SV_E_ARG, "%s: rollout.top_k is %s: %s; use 0", place(r, r->v[SV_KEY_ROLLOUT_TOP_K].line),
                       r->v[SV_KEY_ROLLOUT_TOP_K].text, why);
    uint64_t b = r->v[SV_KEY_RL_PROMPTS].u, g = r->v[SV_KEY_RL_GROUP].u, m = r->v[SV_KEY_RL_UPDATES].u;
    SV_TRY(check_opd(r));
    bool has_baseline = !sv_recipe_is(r, SV_KEY_METHOD, "opd") && !sv_recipe_is(r, SV_KEY_RL_ADVANTAGE, "batch");
    if (g == 1 && has_baseline)
        return sv_fail(SV_E_ARG,
                       "%s: rl.group_size is 1 and rl.advantage is %s, which compares the answers of one problem; use "
                       "a group of 8 or more, or rl.advantage: batch",
                       r->name, sv_recipe_text(r, SV_KEY_RL_ADVANTAGE));
    if (m > b * g)
        return sv_fail(SV_E_ARG, "%s: rl.updates is %llu, but a step has only %llu x %llu = %llu answers to share out",
                       r->name, (unsigned long long)m, (unsigned long long)b, (unsigned long long)g,
                       (unsigned long long)(b * g));
    bool shapes = sv_recipe_is(r, SV_KEY_RL_TRUNCATED, "shape");
    if (shapes && r->v[SV_KEY_RL_SHAPE].u > r->v[SV_KEY_ROLLOUT_TOKENS].u)
        return sv_fail(SV_E_ARG, "%s: rl.shape_tokens is %llu, above rollout.max_tokens, %llu", r->name,
                       (unsigned long long)r->v[SV_KEY_RL_SHAPE].u, (unsigned long long)r->v[SV_KEY_ROLLOUT_TOKENS].u);
    if (sv_recipe_text(r, SV_KEY_TASK)[0] != '\0' && r->v[SV_KEY_DATA_VERIFIER].given)
        return sv_fail(SV_E_ARG, "%s: data.verifier judges data.path; data.task has a judge of its own",
                       place(r, r->v[SV_KEY_DATA_VERIFIER].line));
    bool no_reference = r->model != NULL && sv_recipe_text(r, SV_KEY_RL_REFERENCE)[0] == '\0';
    if (r->v[SV_KEY_RL_KL].f > 0 && no_reference)
        return sv_fail(SV_E_ARG, "%s: rl.kl needs a reference; give model.from or rl.reference", r->name);
    return SV_OK;
}

/* An adapter has a rank or is an old one, and stands beside a model that is stored. */
static sv_err check_lora(const sv_recipe *r)
{
    bool rank = r->v[SV_KEY_LORA_RANK].u > 0, from = sv_recipe_text(r, SV_KEY_LORA_FROM)[0] != '\0';
    if (r->v[SV_KEY_LORA_RANK].given && !rank)
        return sv_fail(SV_E_ARG,
                       "%s: train.lora.rank is 0; give 1 or more, such as 16, or leave train.lora out to train all "
                       "weights",
                       place(r, r->v[SV_KEY_LORA_RANK].line));
    if (rank && from)
        return sv_fail(SV_E_ARG, "%s: train.lora.rank and train.lora.from are both set; an old adapter brings its rank",
                       r->name);
    for (int i = SV_KEY_LORA_ALPHA; i <= SV_KEY_LORA_TARGETS; i++)
        if (r->v[i].given && !rank)
            return sv_fail(SV_E_ARG, "%s: %s needs train.lora.rank", place(r, r->v[i].line), rows[i].key);
    if ((rank || from) && r->model != NULL)
        return sv_fail(SV_E_ARG,
                       "%s: train.lora needs model.from: the adapter of a new model would have no base to be "
                       "served with",
                       r->name);
    return SV_OK;
}

/* Rules between keys. */
static sv_err check(const sv_recipe *r)
{
    bool from = sv_recipe_text(r, SV_KEY_MODEL_FROM)[0] != '\0', task = sv_recipe_text(r, SV_KEY_TASK)[0] != '\0';
    bool path = sv_recipe_text(r, SV_KEY_DATA_PATH)[0] != '\0';
    if (from == (r->model != NULL))
        return sv_fail(SV_E_ARG, "%s: %s; give model.from (a folder or file) or model.new (a new model's sizes)",
                       r->name, from ? "both model.from and model.new are set" : "no model is named");
    if (task == path)
        return sv_fail(SV_E_ARG, "%s: %s; give data.task (a built-in task) or data.path (JSON lines)", r->name,
                       task ? "both data.task and data.path are set" : "no data is named");
    if (sv_recipe_u64(r, SV_KEY_WARMUP) > sv_recipe_u64(r, SV_KEY_STEPS))
        return sv_fail(
            SV_E_ARG, "%s: schedule.warmup is %llu and train.steps is %llu; warm-up ends before the run does", r->name,
            (unsigned long long)sv_recipe_u64(r, SV_KEY_WARMUP), (unsigned long long)sv_recipe_u64(r, SV_KEY_STEPS));
    SV_TRY(check_lora(r));
    bool rl = is_rl(r);
    for (int i = SV_KEY_RL_PROMPTS; i < SV_KEY_COUNT; i++)
        if (r->v[i].given && !rl)
            return sv_fail(SV_E_ARG, "%s: %s belongs to train.method: rl, but the method is %s", place(r, r->v[i].line),
                           rows[i].key, sv_recipe_text(r, SV_KEY_METHOD));
    return rl ? check_rl(r) : SV_OK;
}

static sv_err override(sv_recipe *r, const char *set)
{
    const char *eq = strchr(set, '=');
    if (eq == NULL || eq == set)
        return sv_fail(SV_E_ARG, "--set %s: expected KEY=VALUE, such as optim.lr=1e-3", sv_str_quote(sv_str_of(set)));
    return set_value(r, sv_arena_textn(r->arena, set, (size_t)(eq - set)), sv_str_of(eq + 1), 0);
}

static sv_err fill(sv_recipe *r, sv_str yaml, const char *const *set, size_t n_set)
{
    SV_TRY(sv_yaml_walk(yaml, r->name, set_value, r));
    r->overriding = true;
    for (size_t i = 0; i < n_set; i++)
        SV_TRY(override(r, set[i]));
    SV_TRY(set_defaults(r));
    return check(r);
}

sv_err sv_recipe_parse(sv_str yaml, const char *name, const char *const *set, size_t n_set, sv_recipe **out)
{
    sv_recipe *r = sv_mem_new(sizeof *r);
    r->arena = sv_arena_make();
    r->name = sv_arena_text(r->arena, name);
    sv_err err = fill(r, yaml, set, n_set);
    if (err != SV_OK) {
        sv_recipe_drop(r);
        return err;
    }
    *out = r;
    return SV_OK;
}

sv_err sv_recipe_load(const char *path, const char *const *set, size_t n_set, sv_recipe **out)
{
    sv_arena *a = sv_arena_make();
    sv_str text;
    sv_err err = sv_file_read(path, 1u << 20, a, &text);
    if (err == SV_OK)
        err = sv_recipe_parse(text, path, set, n_set, out);
    sv_arena_drop(a);
    return err;
}

void sv_recipe_drop(sv_recipe *r)
{
    if (r == NULL)
        return;
    json_decref(r->model);
    sv_arena_drop(r->arena);
    sv_mem_free(r);
}

uint64_t sv_recipe_u64(const sv_recipe *r, sv_key key)
{
    SV_ASSERT(rows[key].type == T_U64);
    return r->v[key].u;
}

double sv_recipe_f64(const sv_recipe *r, sv_key key)
{
    SV_ASSERT(rows[key].type == T_F64);
    return r->v[key].f;
}

bool sv_recipe_bool(const sv_recipe *r, sv_key key)
{
    SV_ASSERT(rows[key].type == T_BOOL);
    return r->v[key].b;
}

const char *sv_recipe_text(const sv_recipe *r, sv_key key)
{
    SV_ASSERT(rows[key].type == T_TEXT || rows[key].type == T_WORD);
    return r->v[key].text;
}

bool sv_recipe_is(const sv_recipe *r, sv_key key, const char *word)
{
    return strcmp(sv_recipe_text(r, key), word) == 0;
}
bool sv_recipe_given(const sv_recipe *r, sv_key key)
{
    return r->v[key].given;
}
const json_t *sv_recipe_model(const sv_recipe *r)
{
    return r->model;
}
const char *sv_recipe_name(const sv_recipe *r)
{
    return r->name;
}
const char *sv_key_name(sv_key key)
{
    return rows[key].key;
}

/* One spelling for one value: 3e-3, 0.003 and .003 are the same recipe. */
static void canonical(const sv_recipe *r, sv_key key, sv_bytes *out)
{
    const value *v = &r->v[key];
    if (rows[key].type == T_U64)
        sv_bytes_printf(out, "%llu", (unsigned long long)v->u);
    else if (rows[key].type == T_F64)
        sv_json_number(out, v->f);
    else
        sv_bytes_text(out, v->text);
}

/* A run with a constant rate may go on for longer than it was planned for. */
static bool in_contract(const sv_recipe *r, sv_key key)
{
    if (!rows[key].is_result || (key >= SV_KEY_RL_PROMPTS && !is_rl(r)))
        return false;
    if (key >= SV_KEY_LORA_RANK && key <= SV_KEY_LORA_FROM && r->v[SV_KEY_LORA_RANK].u == 0)
        return false;
    return key != SV_KEY_STEPS || !sv_recipe_is(r, SV_KEY_SCHEDULE, "constant");
}

json_t *sv_recipe_contract(const sv_recipe *r)
{
    json_t *o = json_object();
    sv_bytes text = { 0 };
    for (int i = 0; i < SV_KEY_COUNT; i++) {
        if (!in_contract(r, (sv_key)i))
            continue;
        sv_bytes_clear(&text);
        canonical(r, (sv_key)i, &text);
        json_object_set_new(o, rows[i].key, json_string(text.p ? text.p : ""));
    }
    sv_bytes_done(&text);
    if (r->model != NULL)
        json_object_set(o, "model.new", r->model);
    return o;
}

static int add_text(const char *text, size_t n, void *out)
{
    sv_bytes_add(out, text, n);
    return 0;
}

void sv_recipe_hash(const sv_recipe *r, uint8_t out[32])
{
    json_t *o = sv_recipe_contract(r);
    sv_bytes text = { 0 };
    json_dump_callback(o, add_text, &text, JSON_SORT_KEYS | JSON_COMPACT);
    sv_sha_of(text.p, text.n, out);
    sv_bytes_done(&text);
    json_decref(o);
}

sv_err sv_recipe_same(const sv_recipe *r, const json_t *contract, const char *where)
{
    json_t *mine = sv_recipe_contract(r), *v;
    const char *key;
    sv_err err = SV_OK;
    json_object_foreach(mine, key, v)
    {
        const json_t *old = json_object_get(contract, key);
        if (old != NULL && json_equal(old, v))
            continue;
        const char *was = json_is_string(old) ? json_string_value(old) : old ? "another value" : "not set";
        const char *is = json_is_string(v) ? json_string_value(v) : "another value";
        err = sv_fail(SV_E_ARG,
                      "%s: %s was %s when this run was saved; the recipe says %s. Use the old value, or another "
                      "run.dir",
                      where, key, was, is);
        break;
    }
    json_decref(mine);
    return err;
}

void sv_recipe_print(const sv_recipe *r, sv_bytes *out)
{
    for (int i = 0; i < SV_KEY_COUNT; i++) {
        sv_bytes v = { 0 };
        canonical(r, (sv_key)i, &v);
        sv_bytes_printf(out, "%-24s %-14s %s%s\n", rows[i].key, v.p ? v.p : "", rows[i].words,
                        r->v[i].given ? "" : " (default)");
        sv_bytes_done(&v);
    }
}
