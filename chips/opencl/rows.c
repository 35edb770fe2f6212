/* SPDX-License-Identifier: Apache-2.0
 * The table of rows. Ops that are not listed run the reference.
 */
#include "chips/opencl/rows.h"

const sv_kernel ocl_rows_table[SV_OP_COUNT] = {
    [SV_OP_matmul] = { .run = ocl_matmul, .takes = ocl_matmul_takes, .scratch_bytes = ocl_matmul_scratch },
    [SV_OP_pack] = { .run = ocl_pack, .takes = ocl_pack_takes },
    [SV_OP_quant] = { .run = ocl_quant },
    [SV_OP_add] = { .run = ocl_add, .takes = ocl_elem_takes },
    [SV_OP_mul] = { .run = ocl_mul, .takes = ocl_elem_takes },
    [SV_OP_scale] = { .run = ocl_scale, .takes = ocl_elem_takes },
    [SV_OP_swiglu] = { .run = ocl_swiglu, .takes = ocl_elem_takes },
    [SV_OP_swiglu_grad] = { .run = ocl_swiglu_grad, .takes = ocl_elem_takes },
};
