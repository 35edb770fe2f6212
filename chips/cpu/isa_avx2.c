/* SPDX-License-Identifier: Apache-2.0
 * The kernels for AVX2 + FMA + F16C. Main tile 6 x 16: 12 sums, 2 weights, 1 broadcast of 16 registers.
 */
#if defined(__x86_64__)
#include "chips/cpu/vec_avx2.h"

#define SV_ISA_TABLE sv_cpu_avx2
#define SV_ISA_NAME "avx2"
#define SV_MR 6
#define SV_NP 1
#define SV_SUMS 12 /* most sums of a tile, in vectors */
/* clang-format off */
#define SV_TILES(X) \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(2, 1) X(2, 2) X(2, 3) X(3, 1) X(4, 1) X(5, 1) X(6, 1)
#define SV_TILES_F32(X) X(3, 2)
/* clang-format on */
/* Block products: rows, and groups of SV_W columns, at most SV_DOT_SUMS sums. */
#define SV_DOT_MR 6
#define SV_DOT_SUMS 12
#define SV_DOT_TILES(X) X(1, 4) X(2, 4) X(3, 4) X(4, 2) X(5, 2) X(6, 2)

#include "chips/cpu/isa.inc"
#else
typedef int sv_cpu_no_avx2;
#endif
