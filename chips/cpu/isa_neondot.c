/* SPDX-License-Identifier: Apache-2.0
 * The kernels for aarch64 NEON with SDOT: block products four products at a time, the rest as in isa_neon.c.
 */
#include "chips/cpu/isa_neon.c"
