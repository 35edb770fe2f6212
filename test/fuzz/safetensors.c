/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: any bytes as a safetensors file. What opens must tile its data and be readable to the last byte.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "format/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sv_tensors *t;
    if (sv_safetensors_open_bytes(data, size, "fuzz", &t) != SV_OK) {
        SV_ASSERT(strncmp(sv_err_text(), "fuzz: ", 6) == 0);
        return 0;
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < t->n; i++) {
        const sv_named_tensor *x = &t->item[i];
        SV_ASSERT(sv_tensors_find(t, x->name) == x);
        SV_ASSERT(x->bytes == 0 || (x->data >= data && x->data + x->bytes <= data + size));
        sum += x->bytes;
        (void)sv_named_tensor_check_finite(x);
    }
    SV_ASSERT(sum + 8 + sv_load_u64(data) == size);
    sv_tensors_close(t);
    return 0;
}

/* Most mutations would die at the length of the header: it is set right again in three of four. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, max_size);
    if (size > 8 && seed % 4 != 0) {
        const uint8_t *end = data + size;
        while (end > data + 8 && end[-1] != '}')
            end--;
        sv_store_u64(data, (uint64_t)(end - data - 8));
    }
    return size;
}
