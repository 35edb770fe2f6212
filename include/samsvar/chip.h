/* SPDX-License-Identifier: Apache-2.0
 * What a chip is. A plug-in is a shared object samsvar-chip-NAME.so (or an object linked in) that exports one constant:
 *     const sv_chip sv_chip_plugin_v1 = { ... };
 * It needs these headers and num/ only; it has no unresolved symbol of ours.
 * Threads: a device and its queues are used by one thread at a time; devices are independent.
 */
#ifndef SAMSVAR_CHIP_H
#define SAMSVAR_CHIP_H

#include "samsvar/tensor.h"

#define SV_CHIP_ABI 1

typedef struct sv_device sv_device; /* the plug-in's own */
typedef struct sv_queue sv_queue;
typedef struct sv_mark sv_mark;
typedef struct sv_replay sv_replay;

/* What the core lends to a plug-in. Append only; size says how much there is. */
typedef struct sv_host {
    uint32_t size;
    uint32_t n_thread;                                                   /* threads a device may use; 0: all cores */
    sv_err (*fail)(sv_err code, const char *fmt, ...);                   /* keeps the sentence, gives the code back */
    void (*log)(int level, const char *subsystem, const char *fmt, ...); /* 0 error .. 4 trace */
} sv_host;

typedef struct sv_device_info {
    char name[96];      /* "AMD EPYC, avx2, 2 threads" */
    char variant[16];   /* "avx2": what --chip cpu:avx2 asks for; "" when there is only one */
    uint64_t mem_bytes; /* of the device; 0: unknown */
    uint32_t align;     /* bytes; every operand starts at a multiple of it; a power of two <= 4096 */
    uint32_t n_thread;
    bool is_exact;    /* obeys the contract; false: close, never the default */
    bool host_memory; /* buffers have sv_buffer.host */
} sv_device_info;

typedef sv_err (*sv_kernel_fn)(sv_queue *q, const sv_call *call, sv_span scratch); /* enqueue, return */

typedef struct sv_kernel {
    sv_kernel_fn run;                             /* NULL: the core runs the reference for this op */
    size_t (*scratch_bytes)(const sv_call *call); /* NULL: none. Depends on shapes alone */
    bool (*takes)(const sv_call *call); /* NULL: every shape, dtype and image of the op. Depends on shapes alone */
} sv_kernel;

typedef struct sv_chip {
    uint32_t size, abi, opset;
    const char *name, *version; /* "cuda", "1.2.0 (CUDA 13.0, driver 580.65)" */

    sv_err (*count)(uint32_t *n); /* devices; the first is the best */
    sv_err (*open)(uint32_t index, const sv_host *host, sv_device **out);
    void (*close)(sv_device *d);
    sv_err (*info)(sv_device *d, sv_device_info *out);

    sv_err (*alloc)(sv_device *d, size_t bytes, sv_buffer **out); /* memory */
    void (*free)(sv_device *d, sv_buffer *b);
    sv_err (*wrap)(sv_device *d, void *host, size_t bytes, sv_buffer **out); /* optional: no copy */

    sv_err (*queue_open)(sv_device *d, sv_queue **out); /* work, in order */
    void (*queue_close)(sv_queue *q);
    sv_err (*put)(sv_queue *q, sv_span dst, const void *src, size_t bytes); /* src is free again on return */
    sv_err (*get)(sv_queue *q, void *dst, sv_span src, size_t bytes);       /* dst is filled after wait */
    sv_err (*copy)(sv_queue *q, sv_span dst, sv_span src, size_t bytes);
    sv_err (*wait)(sv_queue *q);
    sv_err (*mark)(sv_queue *q, sv_mark **out); /* optional trio */
    sv_err (*after)(sv_queue *q, sv_mark *m);
    void (*mark_drop)(sv_mark *m);
    sv_err (*record)(sv_queue *q); /* optional four: CUDA graphs and kin */
    sv_err (*seal)(sv_queue *q, sv_replay **out);
    sv_err (*replay)(sv_queue *q, sv_replay *r);
    void (*replay_drop)(sv_replay *r);

    uint32_t n_op;       /* rows the plug-in was built with */
    const sv_kernel *op; /* [n_op], indexed by sv_op; NULL when n_op is 0 */

    /* The layout this chip wants for a weight [n,k] that matmul (NT) reads; NULL or SV_IMAGE_PLAIN: as in the file. */
    sv_image (*weight_image)(sv_device *d, sv_dtype dtype, uint32_t n, uint32_t k);
} sv_chip;

#endif
