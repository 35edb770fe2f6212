/* SPDX-License-Identifier: Apache-2.0
 * Item types: sizes, names, exact widening, single rounding, block quantisation. Header only, so that plug-ins link to
 * nothing of ours. Formulas of block types: serving formats of GGUF (ggml docs/gguf.md), docs/arithmetic.md A-6x.
 * Threads: values.
 */
#ifndef SV_NUM_DTYPE_H
#define SV_NUM_DTYPE_H

#include "samsvar/dtype.h"

#endif
