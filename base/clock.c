/* SPDX-License-Identifier: Apache-2.0
 * Clocks: the only file that asks the system for the time.
 */
#include "base/clock.h"

#include <time.h>

uint64_t sv_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double sv_clock_s(void)
{
    return (double)sv_clock_ns() * 1e-9;
}

double sv_clock_core_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int64_t sv_clock_unix(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec;
}
