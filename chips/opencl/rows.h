/* SPDX-License-Identifier: Apache-2.0
 * The rows of the OpenCL chip, by file; rows.c puts them into the table.
 */
#ifndef SV_CHIPS_OPENCL_ROWS_H
#define SV_CHIPS_OPENCL_ROWS_H

#include "chips/opencl/opencl.h"

#define OCL_RUN(name) sv_err ocl_##name(sv_queue *q, const sv_call *call, sv_span scratch);
#define OCL_TAKES(name) bool ocl_##name##_takes(const sv_call *call);
#define OCL_SCRATCH(name) size_t ocl_##name##_scratch(const sv_call *call);

OCL_TAKES(elem) /* rows_elem.c: all operands are rows of f32 */
OCL_RUN(add)
OCL_RUN(mul)
OCL_RUN(scale)
OCL_RUN(swiglu)
OCL_RUN(swiglu_grad)
OCL_RUN(adamw)
OCL_RUN(rand_normal)

OCL_RUN(matmul) /* rows_matmul.c */
OCL_TAKES(matmul)
OCL_SCRATCH(matmul)
OCL_RUN(quant)
OCL_RUN(pack)
OCL_TAKES(pack)

OCL_RUN(rmsnorm) /* rows_norm.c */
OCL_RUN(rmsnorm_grad)
OCL_TAKES(rmsnorm_grad)
OCL_SCRATCH(rmsnorm_grad)
OCL_RUN(softmax)
OCL_RUN(sum)
OCL_RUN(sumsq)
OCL_TAKES(sum)
OCL_SCRATCH(sum)
OCL_RUN(logprob)
OCL_RUN(logprob_grad)
OCL_RUN(argmax)

OCL_RUN(embed) /* rows_move.c */
OCL_TAKES(embed)
OCL_RUN(embed_grad)
OCL_RUN(gather_rows)
OCL_RUN(scatter_rows)
OCL_RUN(fill)
OCL_RUN(copy_row)
OCL_TAKES(copy)
OCL_RUN(cast)
OCL_TAKES(cast)
OCL_RUN(rope)

OCL_RUN(attend) /* rows_attend.c */
OCL_TAKES(attend)
OCL_RUN(attend_grad)
OCL_SCRATCH(attend_grad)
OCL_RUN(kv_put)

#endif
