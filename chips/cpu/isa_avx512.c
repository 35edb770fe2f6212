/* SPDX-License-Identifier: Apache-2.0
 * The kernels for AVX-512 F, BW, DQ, VL and VNNI. Main tile 14 x 32: 28 sums, 2 weights, 1 broadcast of 32 registers.
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
#define SV_MR 14
#define SV_NP 2
#define SV_SUMS 28 /* most sums of a tile, in vectors */
#define SV_MR_HALF 4
#define SV_TILES(X) \
    X(1, 1) X(1, 2) X(1, 4) X(1, 8) X(2, 1) X(2, 2) X(2, 4) X(3, 1) X(3, 2) X(3, 4) X(4, 1) X(4, 2) X(4, 3) \
    X(5, 1) X(5, 2) X(5, 3) X(6, 1) X(6, 2) X(6, 3) X(7, 1) X(7, 2) X(7, 3) X(8, 1) X(8, 2) X(8, 3) \
    X(9, 1) X(9, 2) X(10, 1) X(10, 2) X(11, 1) X(11, 2) X(12, 1) X(12, 2) X(13, 1) X(13, 2) X(14, 1) X(14, 2)
#define SV_TILES_HALF(X) X(1, 1) X(1, 2) X(1, 4) X(1, 8) X(2, 1) X(2, 2) X(2, 4) X(3, 1) X(3, 2) X(3, 4) X(4, 1) X(4, 2)
/* Block products: rows, and groups of SV_W columns, at most SV_DOT_SUMS sums. */
#define SV_DOT_MR 6
#define SV_DOT_SUMS 12
#define SV_DOT_TILES(X) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2)

#include "chips/cpu/isa.inc"
#else
typedef int sv_cpu_no_avx512;
#endif
