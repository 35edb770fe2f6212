/* SPDX-License-Identifier: Apache-2.0
 * The kernels without instruction sets: plain C, any processor.
 */
#include "chips/cpu/vec_scalar.h"

#define SV_ISA_TABLE sv_cpu_scalar
#define SV_ISA_NAME "scalar"
#define SV_MR 4 /* rows of the main tile */
#define SV_NP 1 /* panels of the main tile */
#define SV_SUMS 16 /* most sums of a tile, in vectors */
#define SV_MR_HALF 4
#define SV_TILES(X) X(1, 1) X(2, 1) X(3, 1) X(4, 1)
#define SV_TILES_HALF(X) X(1, 1) X(2, 1) X(3, 1) X(4, 1)
/* Block products: rows, and groups of SV_W columns, at most SV_DOT_SUMS sums. */
#define SV_DOT_MR 4
#define SV_DOT_SUMS 4
#define SV_DOT_TILES(X) X(1, 4) X(2, 2) X(3, 1) X(4, 1)

#include "chips/cpu/isa.inc"
