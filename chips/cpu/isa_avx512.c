/* SPDX-License-Identifier: Apache-2.0
 * The kernels for AVX-512 F, BW, DQ, VL and VNNI. Main tile 8 x 48: 24 sums, 3 weights, 1 broadcast of 32 registers;
 * the fewest loads per fma.
 */
#if defined(__x86_64__)
#include "chips/cpu/vec_avx512.h"

#ifdef SV_VEC_EMULATED
#define SV_ISA_TABLE sv_cpu_avx512emu
#define SV_ISA_NAME "avx512emu"
#else
#define SV_ISA_TABLE sv_cpu_avx512
#define SV_ISA_NAME "avx512"
#endif
#define SV_MR 8
#define SV_NP 3
#define SV_SUMS 24 /* most sums of a tile, in vectors */
/* clang-format off */
#define SV_TILES(X) \
    X(1, 1) X(1, 2) X(1, 4) X(1, 8) X(2, 1) X(2, 2) X(2, 4) X(3, 1) X(3, 2) X(3, 4) X(4, 1) X(4, 3) X(5, 1) X(5, 3) \
    X(6, 1) X(6, 3) X(7, 1) X(7, 3) X(8, 1) X(8, 3)
/* clang-format on */
/* Block products: rows, and groups of SV_W columns, at most SV_DOT_SUMS sums. */
#define SV_DOT_MR 6
#define SV_DOT_SUMS 12
#define SV_DOT_TILES(X) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2)

#include "chips/cpu/isa.inc"
#else
typedef int sv_cpu_no_avx512;
#endif
