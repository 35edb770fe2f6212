/* SPDX-License-Identifier: Apache-2.0
 * Making conformance cases: shapes of calls, and integer operands that obey their rules. Floats are filled by who runs
 * the case. Threads: values.
 */
#ifndef SV_OP_CASE_H
#define SV_OP_CASE_H

#include "op/spec.h"

/* Appends an operand: dims d0 ... d3 up to n_dim; dense. */
sv_tensor *sv_case_in(sv_case *c, sv_dtype dtype, uint32_t n_dim, uint32_t d0, uint32_t d1, uint32_t d2, uint32_t d3);
sv_tensor *sv_case_out(sv_case *c, sv_dtype dtype, uint32_t n_dim, uint32_t d0, uint32_t d1, uint32_t d2, uint32_t d3);
#define SV_CASE_IN1(c, dtype, d0) sv_case_in(c, dtype, 1, d0, 0, 0, 0)
#define SV_CASE_IN2(c, dtype, d0, d1) sv_case_in(c, dtype, 2, d0, d1, 0, 0)
#define SV_CASE_OUT1(c, dtype, d0) sv_case_out(c, dtype, 1, d0, 0, 0, 0)
#define SV_CASE_OUT2(c, dtype, d0, d1) sv_case_out(c, dtype, 2, d0, d1, 0, 0)
/* Rows of a 2-D operand lie `gap` items further apart. */
void sv_case_gap(sv_tensor *t, uint32_t gap);
/* The i-th shape of those that elementwise ops share: [T,D], with a row gap in every third. False past the last. */
bool sv_case_rows(uint32_t i, uint32_t *T, uint32_t *D, uint32_t *gap);
/* Gives the case its name. */
void sv_case_name(sv_case *c, const char *fmt, ...) SV_PRINTF(2, 3);

/* Fillers (sv_case.fill). fill_arg[0]: the operand; fill_arg[1]: values lie below it. */
void sv_case_fill_index(const sv_case *c, sv_tensor *in, uint32_t variant);
/* The same, ascending, each at most once; fill_arg[1] >= number of items. */
void sv_case_fill_ascending(const sv_case *c, sv_tensor *in, uint32_t variant);
/* fill_arg[2]: a seg operand [L+1] over fill_arg[3] rows; some leaves are empty. Also fills an index operand when
 * fill_arg[1] is not 0. */
void sv_case_fill_seg(const sv_case *c, sv_tensor *in, uint32_t variant);
/* A number below n that depends on (variant, i) alone. */
uint32_t sv_case_draw(uint32_t variant, uint32_t i, uint32_t n);

#endif
