/* SPDX-License-Identifier: Apache-2.0
 * Clocks. Threads: safe from any thread.
 */
#ifndef SV_BASE_CLOCK_H
#define SV_BASE_CLOCK_H

#include <stdint.h>

uint64_t sv_clock_ns(void);   /* monotonic */
double sv_clock_s(void);      /* the same in seconds */
double sv_clock_core_s(void); /* processor time of the whole process, seconds */
int64_t sv_clock_unix(void);  /* wall clock, seconds since 1970 UTC */

#endif
