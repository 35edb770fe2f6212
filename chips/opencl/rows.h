/* SPDX-License-Identifier: Apache-2.0
 * The rows of the OpenCL chip, by file; rows.c puts them into the table.
 */
#ifndef SV_CHIPS_OPENCL_ROWS_H
#define SV_CHIPS_OPENCL_ROWS_H

#include "chips/opencl/opencl.h"

#define OCL_ROW_DECL(op) sv_err ocl_##op(sv_queue *q, const sv_call *call, sv_span scratch);

OCL_ROW_DECL(add) /* rows_elem.c */
OCL_ROW_DECL(mul)
OCL_ROW_DECL(scale)
OCL_ROW_DECL(swiglu)
OCL_ROW_DECL(swiglu_grad)
bool ocl_elem_takes(const sv_call *call); /* all operands f32 rows */

OCL_ROW_DECL(matmul) /* rows_matmul.c */
OCL_ROW_DECL(quant)
OCL_ROW_DECL(pack)
bool ocl_matmul_takes(const sv_call *call);
size_t ocl_matmul_scratch(const sv_call *call);
bool ocl_pack_takes(const sv_call *call);

#endif
