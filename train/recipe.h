/* SPDX-License-Identifier: Apache-2.0
 * Recipes: what a training run is, as YAML whose every scalar is typed by our own table (recipe.def), so that YAML
 * never guesses. Checked whole before anything is opened. Threads: constant once made.
 */
#ifndef SV_TRAIN_RECIPE_H
#define SV_TRAIN_RECIPE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

typedef enum sv_key {
#define SV_KEY(name, key, type, dflt, min, max, flags, words) SV_KEY_##name,
#include "train/recipe.def"
#undef SV_KEY
    SV_KEY_COUNT
} sv_key;

typedef struct sv_recipe sv_recipe;

/* path: a YAML file of at most 1 MiB and depth 16, without anchors, aliases, tags and lists. set: n_set overrides
 * "key=value", stronger than the file. SV_E_ARG names file:line, the key, what was found and what is allowed; an
 * unknown key gets the nearest one. */
sv_err sv_recipe_load(const char *path, const char *const *set, size_t n_set, sv_recipe **out);
/* The same for bytes in memory; `name` stands in messages. */
sv_err sv_recipe_parse(sv_str yaml, const char *name, const char *const *set, size_t n_set, sv_recipe **out);
void sv_recipe_drop(sv_recipe *r); /* NULL is fine */

/* The value of a key of that type (an assertion), given or by default. Texts are valid as long as the recipe. */
uint64_t sv_recipe_u64(const sv_recipe *r, sv_key key);
double sv_recipe_f64(const sv_recipe *r, sv_key key);
bool sv_recipe_bool(const sv_recipe *r, sv_key key);
const char *sv_recipe_text(const sv_recipe *r, sv_key key);          /* also words; "" when not set */
bool sv_recipe_is(const sv_recipe *r, sv_key key, const char *word); /* text equals word */
bool sv_recipe_given(const sv_recipe *r, sv_key key);                /* not by default */

/* model.new: the config.json object of a new model (borrowed), or NULL. Its keys are those that dense families read. */
const json_t *sv_recipe_model(const sv_recipe *r);

const char *sv_recipe_name(const sv_recipe *r);
const char *sv_key_name(sv_key key);
/* {"train.steps": "3000", ...}: the values that are part of the result, as text; owned by the caller. */
json_t *sv_recipe_contract(const sv_recipe *r);
/* SHA-256 of the contract's text. */
void sv_recipe_hash(const sv_recipe *r, uint8_t out[32]);
/* Compares a contract read back with this recipe. SV_E_ARG: the first key that differs, and both values. */
sv_err sv_recipe_same(const sv_recipe *r, const json_t *contract, const char *where);
/* Every key with its value and words, a line each, for listings. */
void sv_recipe_print(const sv_recipe *r, sv_bytes *out);

/* For recipe.c: the events of a YAML text as (dotted key, scalar, line). */
typedef sv_err (*sv_yaml_fn)(void *arg, const char *key, sv_str value, uint32_t line);
sv_err sv_yaml_walk(sv_str text, const char *name, sv_yaml_fn fn, void *arg);

#endif
