/* SPDX-License-Identifier: Apache-2.0
 * Which calls the cpu kernels take: shapes and strides they can walk. What they refuse, the reference runs.
 * Threads: pure functions.
 */
#ifndef SV_CHIPS_CPU_TAKES_H
#define SV_CHIPS_CPU_TAKES_H

#include "samsvar/chip.h"

bool sv_cpu_takes_matmul(const sv_call *call);
bool sv_cpu_takes_pack(const sv_call *call);
bool sv_cpu_takes_attend(const sv_call *call);

#endif
