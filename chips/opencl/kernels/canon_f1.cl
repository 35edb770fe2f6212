/* SPDX-License-Identifier: Apache-2.0
 * Before num/canon.inc: its text for one float. */
#undef SV_FN
#undef SV_QUAL
#undef SV_F
#undef SV_I
#undef SV_FK
#undef SV_IK
#undef SV_SELECT
#undef SV_AS_I
#undef SV_AS_F
#undef SV_TO_F
#undef SV_TO_I
#undef SV_SQRT
#define SV_FN(name) canon_##name
#define SV_QUAL inline
#define SV_F float
#define SV_I int
#define SV_FK(c) (c)
#define SV_IK(c) ((int)(c))
#define SV_SELECT(m, a, b) ((m) ? (a) : (b))
#define SV_AS_I(f) as_int(f)
#define SV_AS_F(i) as_float(i)
#define SV_TO_F(i) convert_float(i)
#define SV_TO_I(f) convert_int(f)
#define SV_SQRT(x) sqrt(x)
