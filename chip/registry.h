/* SPDX-License-Identifier: Apache-2.0
 * Which chips there are, and opening one: linked-in ones first, then samsvar-chip-NAME.so in
 * $SAMSVAR_PLUGIN_DIR, beside the program, and in ../lib/samsvar from there. Never the current directory.
 * Threads: sv_chips_list and sv_chip_open from one thread at a time; an opened chip by one thread at a time.
 */
#ifndef SV_CHIP_REGISTRY_H
#define SV_CHIP_REGISTRY_H

#include "base/mem.h"
#include "samsvar/chip.h"

typedef struct sv_chip_entry {
    const sv_chip *chip; /* NULL: the file could not be loaded; members that an older plug-in lacks are NULL */
    const char *path;    /* of the plug-in; "" for a linked-in one */
    const char *why;     /* why it cannot be used (wrong ABI, opset, no device), or NULL */
    const char *name;    /* the chip's name, or the file's NAME when chip is NULL */
    uint32_t n_device;   /* 0 when it cannot be used */
} sv_chip_entry;

/* Every chip found, usable or not; *out is valid until the process ends. */
sv_err sv_chips_list(const sv_chip_entry **out, size_t *n);

typedef struct sv_chip_opts {
    uint32_t n_thread; /* 0: all cores */
} sv_chip_opts;

/* An opened device with one queue. */
typedef struct sv_chip_dev {
    const sv_chip *chip;
    sv_device *device;
    sv_queue *queue;
    sv_device_info info;
    char spec[64]; /* "cpu:avx2" */
} sv_chip_dev;

/* spec: NAME, NAME:INDEX or NAME:VARIANT ("cpu", "cpu:avx2", "opencl:0", "ref"); NULL or "": the best exact chip that
 * is preferred by default (cuda if it opens, else cpu). An explicit choice that fails is an error: SV_E_CHIP, naming
 * what there is. */
sv_err sv_chip_open(const char *spec, const sv_chip_opts *opts, sv_chip_dev *out);
void sv_chip_close(sv_chip_dev *d);

/* The row that takes this call on this chip, or NULL: then the reference runs. */
const sv_kernel *sv_chip_row(const sv_chip *chip, const sv_call *call);

/* Runs a call by the reference; operands in host memory (at.buf->host). Allocates its own scratch. */
sv_err sv_ref_run(const sv_call *call);

#endif
