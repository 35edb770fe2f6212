/* SPDX-License-Identifier: Apache-2.0
 * The conformance suite: every op's cases on a chip, compared with the reference bit by bit. No tolerance exists here.
 * Threads: one at a time.
 */
#ifndef SV_CHIP_CONFORM_H
#define SV_CHIP_CONFORM_H

#include "chip/registry.h"

typedef struct sv_conform_opts {
    const char *op;     /* only this op; NULL: all */
    uint32_t only_case; /* UINT32_MAX: all cases */
    uint64_t seed;
    bool quick;        /* every seventh case */
    uint32_t max_fail; /* stop after so many failures; 0: never */
    /* Called for each failure and at the end of each group; may be NULL. */
    void (*report)(void *ctx, const char *line);
    void *ctx;
} sv_conform_opts;

typedef struct sv_conform_result {
    uint64_t n_case, n_fail, n_native; /* native: the chip had a row that took the case */
    char first_failure[512];           /* op, case, first differing index, both bit patterns, how to repeat */
} sv_conform_result;

/* Groups: float environment, memory, order, every op (awkward shapes, special values, twice). A failure is counted and
 * reported; the return value is SV_OK unless the suite itself could not run. */
sv_err sv_conform_run(sv_chip_dev *dev, const sv_conform_opts *opts, sv_conform_result *out);

#endif
