/* SPDX-License-Identifier: Apache-2.0
 * The table of rows. What a row does not take runs the reference.
 */
#include "chips/opencl/rows.h"

const sv_kernel ocl_rows_table[SV_OP_COUNT] = {
    [SV_OP_embed] = { .run = ocl_embed, .takes = ocl_embed_takes },
    [SV_OP_embed_grad] = { .run = ocl_embed_grad },
    [SV_OP_matmul] = { .run = ocl_matmul, .takes = ocl_matmul_takes, .scratch_bytes = ocl_matmul_scratch },
    [SV_OP_pack] = { .run = ocl_pack, .takes = ocl_pack_takes },
    [SV_OP_quant] = { .run = ocl_quant },
    [SV_OP_add] = { .run = ocl_add, .takes = ocl_elem_takes },
    [SV_OP_mul] = { .run = ocl_mul, .takes = ocl_elem_takes },
    [SV_OP_scale] = { .run = ocl_scale, .takes = ocl_elem_takes },
    [SV_OP_fill] = { .run = ocl_fill },
    [SV_OP_copy] = { .run = ocl_copy_row, .takes = ocl_copy_takes },
    [SV_OP_cast] = { .run = ocl_cast, .takes = ocl_cast_takes },
    [SV_OP_swiglu] = { .run = ocl_swiglu, .takes = ocl_elem_takes },
    [SV_OP_swiglu_grad] = { .run = ocl_swiglu_grad, .takes = ocl_elem_takes },
    [SV_OP_softmax] = { .run = ocl_softmax },
    [SV_OP_rmsnorm] = { .run = ocl_rmsnorm },
    [SV_OP_rmsnorm_grad] = { .run = ocl_rmsnorm_grad, .takes = ocl_rmsnorm_grad_takes, .scratch_bytes = ocl_rmsnorm_grad_scratch },
    [SV_OP_rope] = { .run = ocl_rope },
    [SV_OP_kv_put] = { .run = ocl_kv_put },
    [SV_OP_attend] = { .run = ocl_attend, .takes = ocl_attend_takes },
    [SV_OP_attend_grad] = { .run = ocl_attend_grad, .takes = ocl_attend_takes, .scratch_bytes = ocl_attend_grad_scratch },
    [SV_OP_gather_rows] = { .run = ocl_gather_rows },
    [SV_OP_scatter_rows] = { .run = ocl_scatter_rows },
    [SV_OP_logprob] = { .run = ocl_logprob },
    [SV_OP_logprob_grad] = { .run = ocl_logprob_grad },
    [SV_OP_sum] = { .run = ocl_sum, .takes = ocl_sum_takes, .scratch_bytes = ocl_sum_scratch },
    [SV_OP_sumsq] = { .run = ocl_sumsq, .takes = ocl_sum_takes, .scratch_bytes = ocl_sum_scratch },
    [SV_OP_adamw] = { .run = ocl_adamw, .takes = ocl_elem_takes },
    [SV_OP_rand_normal] = { .run = ocl_rand_normal },
    [SV_OP_argmax] = { .run = ocl_argmax },
};
