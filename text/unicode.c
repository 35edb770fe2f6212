/* SPDX-License-Identifier: Apache-2.0
 * Look-up in the generated table of Unicode classes.
 */
#include "text/unicode.h"

#include "text/unicode_table.inc"

uint32_t sv_unicode_flags(uint32_t cp)
{
    if (cp > 0x10ffff)
        return 0;
    return sv_uni_flags[(uint32_t)sv_uni_index[cp >> SV_UNI_SHIFT] << SV_UNI_SHIFT | (cp & ((1u << SV_UNI_SHIFT) - 1))];
}
