/* SPDX-License-Identifier: Apache-2.0
 * Before num/canon.inc: its text for sixteen lanes. */
#define half half_turn /* half names a type here, and a variable in the text */
#define SV_FN(name) canon16_##name
#define SV_QUAL inline
#define SV_F float16
#define SV_I int16
#define SV_FK(c) ((float16)(c))
#define SV_IK(c) ((int16)(c))
#define SV_SELECT(m, a, b) select((b), (a), (m))
#define SV_AS_I(f) as_int16(f)
#define SV_AS_F(i) as_float16(i)
#define SV_TO_F(i) convert_float16(i)
#define SV_TO_I(f) convert_int16(f)
#define SV_SQRT(x) sqrt(x)
