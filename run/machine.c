/* SPDX-License-Identifier: Apache-2.0
 * Opens a chip and, where rows may be missing, the cpu chip beside it.
 */
#include "run/machine.h"

#include <string.h>

#include "base/mem.h"

static bool needs_helper(const sv_machine *m, const sv_machine_opts *opts)
{
    /* `ref` is the law itself and cpu's rows are complete enough: neither borrows another chip's rows. */
    const char *name = m->dev.chip->name;
    return !opts->fallback_ref && !opts->strict_chip && strcmp(name, "cpu") != 0 && strcmp(name, "ref") != 0;
}

sv_err sv_machine_open(const char *spec, const sv_machine_opts *opts, sv_machine **out)
{
    static const sv_machine_opts none = { 0 };
    if (opts == NULL)
        opts = &none;
    sv_machine *m = sv_mem_new(sizeof *m);
    sv_chip_opts chip_opts = { .n_thread = opts->n_thread };
    m->strict = opts->strict_chip;
    sv_err err = sv_chip_open(spec, &chip_opts, &m->dev);
    if (err != SV_OK) {
        sv_mem_free(m);
        return err;
    }
    if (needs_helper(m, opts)) {
        err = sv_chip_open("cpu", &chip_opts, &m->helper);
        if (err != SV_OK) {
            sv_chip_close(&m->dev);
            sv_mem_free(m);
            return err;
        }
        m->has_helper = true;
    }
    *out = m;
    return SV_OK;
}

void sv_machine_close(sv_machine *m)
{
    if (m == NULL)
        return;
    if (m->has_helper)
        sv_chip_close(&m->helper);
    sv_chip_close(&m->dev);
    sv_mem_free(m);
}
