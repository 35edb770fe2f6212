/* SPDX-License-Identifier: Apache-2.0
 * The kernels for aarch64 NEON; isa_neondot.c compiles them again with the dot product instructions. Main tile 6 x 16:
 * 24 sums, 4 weights, 1 broadcast of 32 registers.
 */
#if defined(__aarch64__)
#include "chips/cpu/vec_neon.h"

#ifdef __ARM_FEATURE_DOTPROD
#define SV_ISA_TABLE sv_cpu_neondot
#define SV_ISA_NAME "neondot"
#else
#define SV_ISA_TABLE sv_cpu_neon
#define SV_ISA_NAME "neon"
#endif
#define SV_MR 6
#define SV_NP 1
#define SV_SUMS 24 /* most sums of a tile, in vectors */
/* clang-format off */
#define SV_TILES(X) X(1, 1) X(1, 2) X(1, 4) X(2, 1) X(2, 2) X(2, 3) X(3, 1) X(3, 2) X(4, 1) X(5, 1) X(6, 1)
/* clang-format on */
/* Block products: rows, and groups of SV_W columns, at most SV_DOT_SUMS sums. */
#define SV_DOT_MR 4
#define SV_DOT_SUMS 8
#define SV_DOT_TILES(X) X(1, 8) X(2, 4) X(3, 2) X(4, 2)

#include "chips/cpu/isa.inc"
#else
typedef int sv_cpu_no_neon;
#endif
