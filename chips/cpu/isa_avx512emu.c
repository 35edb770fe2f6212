/* SPDX-License-Identifier: Apache-2.0
 * Test builds only (-DSV_CPU_EMU512): the AVX-512 texts over sixteen emulated lanes, for hosts without AVX-512.
 */
#ifdef SV_CPU_EMU512
#define SV_VEC_EMULATED
#include "chips/cpu/isa_avx512.c"
#else
typedef int sv_cpu_no_emu512;
#endif
