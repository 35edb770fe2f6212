/* SPDX-License-Identifier: Apache-2.0
 * Vector layer without instruction sets: four lanes in plain C, for any processor; the yardstick of the others.
 */
#ifndef SV_CHIPS_CPU_VEC_SCALAR_H
#define SV_CHIPS_CPU_VEC_SCALAR_H

#define SV_W 4
#define SV_UNROLL /* sums in memory: a fallback compiles in seconds */
#include "chips/cpu/vec.h"

#endif
