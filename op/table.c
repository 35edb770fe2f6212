/* SPDX-License-Identifier: Apache-2.0
 * The table of ops, in the order of ops.def.
 */
#include "op/spec.h"

const sv_opspec *const sv_opspecs[SV_OP_COUNT] = {
#define SV_OP(name, n_in, n_out, class, formula) [SV_OP_##name] = &sv_opspec_##name,
#include "samsvar/ops.def"
#undef SV_OP
};

uint32_t sv_op_inout(sv_op op, const void *attr)
{
    if (op == SV_OP_matmul && ((const sv_attr_matmul *)attr)->accumulate != 0)
        return 1;
    return sv_opspecs[op]->inout;
}
