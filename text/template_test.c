/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: what stands behind `is`, and in select and its kin.
 */
#include "text/template_impl.h"

typedef enum test_id {
    TEST_DEFINED,
    TEST_UNDEFINED,
    TEST_NONE,
    TEST_STRING,
    TEST_MAPPING,
    TEST_ITERABLE,
    TEST_SEQUENCE,
    TEST_NUMBER,
    TEST_BOOLEAN,
    TEST_TRUE,
    TEST_FALSE,
    TEST_EQUAL,
    TEST_IN,
} test_id;

static const struct {
    const char *name;
    uint8_t id, n_arg;
} tests[] = {
    { "defined", TEST_DEFINED, 0 },
    { "undefined", TEST_UNDEFINED, 0 },
    { "none", TEST_NONE, 0 },
    { "string", TEST_STRING, 0 },
    { "mapping", TEST_MAPPING, 0 },
    { "iterable", TEST_ITERABLE, 0 },
    { "sequence", TEST_SEQUENCE, 0 },
    { "number", TEST_NUMBER, 0 },
    { "boolean", TEST_BOOLEAN, 0 },
    { "true", TEST_TRUE, 0 },
    { "false", TEST_FALSE, 0 },
    { "equalto", TEST_EQUAL, 1 },
    { "eq", TEST_EQUAL, 1 },
    { "==", TEST_EQUAL, 1 },
    { "in", TEST_IN, 1 },
};

bool sv_tpl_test_find(sv_str name, uint16_t *id)
{
    for (uint16_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        if (sv_str_is(name, tests[i].name)) {
            *id = i;
            return true;
        }
    }
    return false;
}

static bool has_length(const sv_tpl_value *v)
{
    bool list =
        v->tag == SV_TPL_LIST && v->u.list->kind != SV_TPL_KIND_GENERATOR && v->u.list->kind != SV_TPL_KIND_VIEW;
    return list || v->tag == SV_TPL_STRING || v->tag == SV_TPL_DICT || v->tag == SV_TPL_UNDEFINED;
}

sv_err sv_tpl_test(sv_tpl_env *e, uint16_t id, const sv_tpl_value *v, const sv_tpl_value *arg, size_t n_arg, bool *out)
{
    if (n_arg != tests[id].n_arg)
        return sv_tpl_fault(e, "test '%s' takes %u argument(s)", tests[id].name, tests[id].n_arg);
    *out = false;
    switch ((test_id)tests[id].id) {
    case TEST_DEFINED:
    case TEST_UNDEFINED:
        *out = (v->tag == SV_TPL_UNDEFINED) == (tests[id].id == TEST_UNDEFINED);
        break;
    case TEST_NONE:
        *out = v->tag == SV_TPL_NONE;
        break;
    case TEST_STRING:
        *out = v->tag == SV_TPL_STRING;
        break;
    case TEST_MAPPING:
        *out = v->tag == SV_TPL_DICT;
        break;
    case TEST_ITERABLE:
        *out = v->tag == SV_TPL_LIST || v->tag == SV_TPL_LOOP || has_length(v);
        break;
    case TEST_SEQUENCE:
        *out = has_length(v);
        break;
    case TEST_NUMBER:
        *out = sv_tpl_is_number(v);
        break;
    case TEST_BOOLEAN:
        *out = v->tag == SV_TPL_BOOL;
        break;
    case TEST_TRUE:
    case TEST_FALSE:
        *out = v->tag == SV_TPL_BOOL && v->u.b == (tests[id].id == TEST_TRUE);
        break;
    case TEST_EQUAL:
        return sv_tpl_equal(e, v, &arg[0], out);
    case TEST_IN:
        return sv_tpl_contains(e, &arg[0], v, out);
    }
    return SV_OK;
}
