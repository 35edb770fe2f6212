/* SPDX-License-Identifier: Apache-2.0
 * The generated table of Unicode classes.
 */
#include "text/unicode.h"

#include "text/unicode_table.inc"
