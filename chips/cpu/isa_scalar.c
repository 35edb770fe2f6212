/* SPDX-License-Identifier: Apache-2.0
 * The kernels without instruction sets: plain C, any processor.
 */
#include "chips/cpu/vec_scalar.h"

#define SV_ISA_TABLE sv_cpu_scalar
#define SV_ISA_NAME "scalar"
#define SV_MR 2   /* rows of the main tile */
#define SV_NP 1   /* panels of the main tile */
#define SV_SUMS 8 /* most sums of a tile, in vectors */
/* clang-format off */
#define SV_TILES(X) X(1, 1) X(2, 1)
/* clang-format on */
/* Block products: rows, and groups of SV_W columns, at most SV_DOT_SUMS sums. */
#define SV_DOT_MR 2
#define SV_DOT_SUMS 2
#define SV_DOT_TILES(X) X(1, 1) X(2, 1)

#include "chips/cpu/isa.inc"
