/* SPDX-License-Identifier: Apache-2.0
 * Recipes: typed keys, overrides, every refusal with its place.
 */
#include "train/recipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MINIMAL "model:\n  new:\n    model_type: qwen3\n    hidden_size: 96\ndata: {task: chain100}\n"

static sv_recipe *parse_set(const char *text, const char *const *set, size_t n)
{
    sv_recipe *r = NULL;
    sv_err err = sv_recipe_parse(sv_str_of(text), "r.yaml", set, n, &r);
    if (err != SV_OK)
        fail_msg("%s", sv_err_text());
    return r;
}

static sv_recipe *parse(const char *text)
{
    return parse_set(text, NULL, 0);
}

static void refuse(const char *text, const char *part)
{
    sv_recipe *r = NULL;
    sv_err err = sv_recipe_parse(sv_str_of(text), "r.yaml", NULL, 0, &r);
    assert_int_equal(err, SV_E_ARG);
    if (strstr(sv_err_text(), part) == NULL)
        fail_msg("'%s' does not say '%s'", sv_err_text(), part);
}

static void test_defaults_hold_for_keys_that_are_not_given(void **state)
{
    (void)state;
    sv_recipe *r = parse(MINIMAL);
    assert_true(sv_recipe_u64(r, SV_KEY_PACK_TOKENS) == 256);
    assert_true(sv_recipe_f64(r, SV_KEY_BETA2) == 0.98);
    assert_true(sv_recipe_is(r, SV_KEY_METHOD, "sft"));
    assert_false(sv_recipe_given(r, SV_KEY_METHOD));
    assert_string_equal(sv_recipe_text(r, SV_KEY_RUN_DIR), "");
    assert_int_equal(json_integer_value(json_object_get(sv_recipe_model(r), "hidden_size")), 96);
    sv_recipe_drop(r);
}

static void test_every_default_is_allowed_by_its_own_row(void **state)
{
    (void)state;
    sv_bytes text = { 0 };
    sv_recipe *r = parse(MINIMAL);
    sv_recipe_print(r, &text);
    assert_non_null(strstr(text.p, "train.micro"));
    sv_bytes_done(&text);
    sv_recipe_drop(r);
}

static void test_an_override_is_stronger_than_the_file(void **state)
{
    (void)state;
    const char *const set[] = { "optim.lr=1e-5", "train.steps=7", "schedule.warmup=3", "model.new.hidden_size=64",
                                "optim.lr=2e-5" };
    sv_recipe *r = parse_set(MINIMAL "optim:\n  lr: 3e-3\n", set, 5);
    assert_true(sv_recipe_f64(r, SV_KEY_LR) == 2e-5);
    assert_true(sv_recipe_u64(r, SV_KEY_STEPS) == 7);
    assert_int_equal(json_integer_value(json_object_get(sv_recipe_model(r), "hidden_size")), 64);
    sv_recipe_drop(r);
}

static void test_every_word_of_a_list_is_taken(void **state)
{
    (void)state;
    static const char *const word[] = { "rl.check=off",       "rl.check=all",        "rl.truncated=mask",
                                        "data.trust=all",     "data.kind=ids",       "train.method=rl",
                                        "rl.loss=cispo",      "rl.advantage=loo",    "schedule.kind=constant",
                                        "data.long=truncate", "guard.nonfinite=skip" };
    for (size_t i = 0; i < sizeof word / sizeof *word; i++) {
        const char *const set[] = { "train.method=rl", word[i] };
        sv_recipe_drop(parse_set(MINIMAL, set, 2));
    }
}

static void test_an_unknown_key_names_line_and_nearest(void **state)
{
    (void)state;
    refuse(MINIMAL "optim:\n  lrr: 1\n", "r.yaml:7: unknown key 'optim.lrr'; did you mean 'optim.lr'");
    refuse(MINIMAL "optim:\n  weight_of_the_world: 1\n", "unknown key 'optim.weight_of_the_world'");
    refuse(MINIMAL "      \nmodel.new: 3\n", "unknown key 'model.new'");
}

static void test_a_value_of_the_wrong_type_or_range_is_refused(void **state)
{
    (void)state;
    refuse(MINIMAL "train: {steps: 3.5}\n", "train.steps is '3.5'; allowed: a whole number from 1");
    refuse(MINIMAL "train: {steps: 0}\n", "train.steps is '0'");
    refuse(MINIMAL "train: {steps: -1}\n", "train.steps is '-1'");
    refuse(MINIMAL "train: {steps: 99999999999999999999}\n", "train.steps");
    refuse(MINIMAL "optim: {beta1: 1}\n", "optim.beta1 is '1'; allowed: a number from 0");
    refuse(MINIMAL "optim: {lr: nan}\n", "optim.lr is 'nan'");
    refuse(MINIMAL "optim: {lr: }\n", "optim.lr is ''");
    refuse(MINIMAL "train: {method: dpo}\n", "train.method is 'dpo'; allowed: pretrain|sft|rl|opd");
    refuse(MINIMAL "train: {method: s}\n", "train.method is 's'");
    refuse(MINIMAL "data.last_turn_only: yes\n", "allowed: true, false");
}

static void test_yaml_never_guesses(void **state)
{
    (void)state;
    sv_recipe *r = parse("model: {from: no}\ndata: {path: 1e3, template: 0x10}\nseed: 012\n");
    assert_string_equal(sv_recipe_text(r, SV_KEY_MODEL_FROM), "no");
    assert_string_equal(sv_recipe_text(r, SV_KEY_DATA_PATH), "1e3");
    assert_string_equal(sv_recipe_text(r, SV_KEY_DATA_TEMPLATE), "0x10");
    assert_true(sv_recipe_u64(r, SV_KEY_SEED) == 12);
    sv_recipe_drop(r);
}

static void test_what_is_no_plain_map_is_refused(void **state)
{
    (void)state;
    refuse("- a\n- b\n", "a list is not allowed");
    refuse("just a word\n", "a recipe is a map");
    refuse(MINIMAL "optim: [1, 2]\n", "r.yaml:6: a list is not allowed");
    refuse(MINIMAL "optim: &a\n  lr: 1e-3\n", "anchors");
    refuse(MINIMAL "seed: &a 3\ntrain: {steps: *a}\n", "anchors");
    refuse(MINIMAL "train: {steps: *a}\n", "alias");
    refuse(MINIMAL "seed: !!int 3\n", "tags");
    refuse(MINIMAL "---\nseed: 1\n", "one document");
    refuse(MINIMAL "optim: {lr: 1\n", "not YAML");
    refuse(MINIMAL "? {a: b}\n: c\n", "a key must be a word");
    refuse("\xff\xfe", "not UTF-8");
    refuse("a: {b: {c: {d: {e: {f: {g: {h: {i: {j: {k: {l: {m: {n: {o: {p: {q: 1}}}}}}}}}}}}}}}}\n", "deeper than 16");
}

static void test_a_key_that_stands_twice_is_refused(void **state)
{
    (void)state;
    refuse(MINIMAL "seed: 1\nseed: 2\n", "seed stands twice; the first is in line 6");
    refuse(MINIMAL "optim: {lr: 1e-3}\noptim.lr: 1e-4\n", "optim.lr stands twice");
    refuse(MINIMAL "model.new.hidden_size: 3\n", "model.new.hidden_size stands twice");
}

static void test_rules_between_keys_hold(void **state)
{
    (void)state;
    refuse("data: {task: chain100}\n", "no model is named");
    refuse(MINIMAL "model.from: x\n", "both model.from and model.new");
    refuse("model: {from: x}\n", "no data is named");
    refuse(MINIMAL "data.path: x\n", "both data.task and data.path");
    refuse(MINIMAL "train: {steps: 10}\n", "schedule.warmup is 30 and train.steps is 10");
    refuse(MINIMAL "rl: {prompts: 4}\n", "belongs to train.method: rl");
}

static void test_a_long_file_is_refused(void **state)
{
    (void)state;
    size_t n = (1u << 20) + 1;
    char *text = malloc(n);
    sv_recipe *r;
    memset(text, '#', n);
    assert_int_equal(sv_recipe_parse((sv_str){ text, n }, "r.yaml", NULL, 0, &r), SV_E_LIMIT);
    free(text);
}

static void test_the_hash_is_of_meaning_not_of_spelling(void **state)
{
    (void)state;
    uint8_t a[32], b[32], c[32];
    sv_recipe *x = parse(MINIMAL "optim: {lr: 3e-3}\ntrain: {micro: 3}\n"),
              *y = parse("threads: 2\noptim.lr: 0.003\n" MINIMAL);
    sv_recipe *z = parse(MINIMAL "optim: {lr: 4e-3}\n");
    sv_recipe_hash(x, a);
    sv_recipe_hash(y, b);
    sv_recipe_hash(z, c);
    assert_memory_equal(a, b, 32);
    assert_memory_not_equal(a, c, 32);
    json_t *contract = sv_recipe_contract(x);
    assert_int_equal(sv_recipe_same(y, contract, "step-000001"), SV_OK);
    assert_int_equal(sv_recipe_same(z, contract, "step-000001"), SV_E_ARG);
    assert_non_null(
        strstr(sv_err_text(), "step-000001: optim.lr was 0.003 when this run was saved; the recipe says 0.004"));
    json_decref(contract);
    sv_recipe_drop(x);
    sv_recipe_drop(y);
    sv_recipe_drop(z);
}

static void test_a_bad_override_is_refused(void **state)
{
    (void)state;
    const char *const bad[] = { "optim.lr", "=3", "optim.lrr=3", "optim.lr=x" };
    for (size_t i = 0; i < 4; i++) {
        sv_recipe *r;
        assert_int_equal(sv_recipe_parse(sv_str_of(MINIMAL), "r.yaml", bad + i, 1, &r), SV_E_ARG);
        assert_non_null(strstr(sv_err_text(), "--set"));
    }
}

static void test_the_shipped_recipes_are_sound(void **state)
{
    (void)state;
    static const char *const name[] = { "recipes/chain100-sft.yaml", "recipes/chain100-quick.yaml",
                                        "recipes/sft-chat.yaml" };
    for (size_t i = 0; i < 3; i++) {
        sv_recipe *r;
        if (sv_recipe_load(name[i], NULL, 0, &r) != SV_OK)
            fail_msg("%s", sv_err_text());
        sv_recipe_drop(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_hold_for_keys_that_are_not_given),
        cmocka_unit_test(test_every_default_is_allowed_by_its_own_row),
        cmocka_unit_test(test_an_override_is_stronger_than_the_file),
        cmocka_unit_test(test_every_word_of_a_list_is_taken),
        cmocka_unit_test(test_an_unknown_key_names_line_and_nearest),
        cmocka_unit_test(test_a_value_of_the_wrong_type_or_range_is_refused),
        cmocka_unit_test(test_yaml_never_guesses),
        cmocka_unit_test(test_what_is_no_plain_map_is_refused),
        cmocka_unit_test(test_a_key_that_stands_twice_is_refused),
        cmocka_unit_test(test_rules_between_keys_hold),
        cmocka_unit_test(test_a_long_file_is_refused),
        cmocka_unit_test(test_the_hash_is_of_meaning_not_of_spelling),
        cmocka_unit_test(test_a_bad_override_is_refused),
        cmocka_unit_test(test_the_shipped_recipes_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
