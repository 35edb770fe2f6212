/* SPDX-License-Identifier: Apache-2.0
 * An opened chip with what the core adds: a fallback for missing rows and a clock on it.
 * Threads: used by one thread at a time.
 */
#ifndef SV_RUN_MACHINE_H
#define SV_RUN_MACHINE_H

#include "chip/registry.h"

typedef struct sv_machine {
    sv_chip_dev dev;
    sv_chip_dev helper; /* the cpu chip, for rows that dev lacks; not opened for cpu and ref */
    bool has_helper;
    bool strict;                  /* refuse any fallback */
    uint64_t run_ns, fallback_ns; /* time in steps, and of it in fallback rows */
    uint64_t n_call, n_fallback;
} sv_machine;

typedef struct sv_machine_opts {
    uint32_t n_thread; /* 0: all cores */
    bool strict_chip;
    bool fallback_ref; /* missing rows run the reference, not the cpu chip's rows */
} sv_machine_opts;

sv_err sv_machine_open(const char *spec, const sv_machine_opts *opts, sv_machine **out);
void sv_machine_close(sv_machine *m);

#endif
