/* SPDX-License-Identifier: Apache-2.0
 * Inside the conformance suite: its state, and what its groups share.
 * Threads: one at a time.
 */
#ifndef SV_CHIP_CONFORM_SUITE_H
#define SV_CHIP_CONFORM_SUITE_H

#include "chip/conform.h"
#include "chip/conform_data.h"

typedef struct sv_suite {
    sv_chip_dev *dev;
    const sv_conform_opts *opts;
    sv_conform_result *result;
    sv_buffer *arena, *scratch;    /* on the chip; grown as needed */
    uint8_t *before, *after, *law; /* on the host, as large as the arena */
    size_t bytes;
} sv_suite;

/* One call to compare. data, when not NULL, overwrites operands after they were filled; tensors are host memory then.
 */
typedef struct sv_trial {
    sv_op op;
    const sv_case *c;
    uint32_t index;   /* of the case; UINT32_MAX: not from the op's list */
    const char *what; /* the group or probe, for the report */
    sv_data_kind kind;
    void (*data)(const struct sv_trial *t, sv_tensor *in, sv_tensor *out);
} sv_trial;

/* Runs the call on the chip and by the reference, compares, counts and reports. Fails only when the suite cannot go on.
 */
sv_err sv_suite_compare(sv_suite *s, const sv_trial *t);
/* Counts a failure that is no difference of bits, and reports it. `repeat`: the group's name for --op. */
void sv_suite_fail(sv_suite *s, const char *repeat, const char *fmt, ...) SV_PRINTF(3, 4);
void sv_suite_say(sv_suite *s, const char *fmt, ...) SV_PRINTF(2, 3);
/* Makes arena and host copies at least this large. */
sv_err sv_suite_reserve(sv_suite *s, size_t bytes);

/* Groups. */
sv_err sv_suite_float(sv_suite *s);  /* conform_float.c */
sv_err sv_suite_memory(sv_suite *s); /* conform_memory.c */
sv_err sv_suite_order(sv_suite *s);

#endif
