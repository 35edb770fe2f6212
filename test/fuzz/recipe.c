/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: any bytes as a recipe. What is accepted must agree with itself when its contract is read again.
 */
#include <stddef.h>
#include <stdint.h>

#include "train/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sv_recipe *r;
    if (sv_recipe_parse((sv_str){ (const char *)data, size }, "fuzz.yaml", NULL, 0, &r) != SV_OK) {
        SV_ASSERT(sv_err_text()[0] != '\0');
        return 0;
    }
    sv_bytes text = { 0 };
    json_t *contract = sv_recipe_contract(r);
    SV_ASSERT(sv_recipe_same(r, contract, "itself") == SV_OK);
    sv_recipe_print(r, &text);
    for (int k = 0; k < SV_KEY_COUNT; k++)
        SV_ASSERT(sv_key_name((sv_key)k) != NULL);
    json_decref(contract);
    sv_bytes_done(&text);
    sv_recipe_drop(r);
    return 0;
}
