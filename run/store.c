/* SPDX-License-Identifier: Apache-2.0
 * Device memory by (kind, id). Each entry has a buffer of its own; tied entries share one.
 */
#include "run/store.h"

#include <string.h>

#include "op/spec.h"

typedef struct entry {
    sv_tensor t; /* as the chip has it; at.buf NULL: not there */
    uint64_t bytes;
    bool is_alias;
} entry;

struct sv_store {
    sv_machine *m;
    entry *item[SV_KIND_COUNT];
    uint32_t n[SV_KIND_COUNT];
    uint64_t bytes;
};

sv_store *sv_store_make(sv_machine *m)
{
    sv_store *s = sv_mem_new(sizeof *s);
    s->m = m;
    return s;
}

void sv_store_drop(sv_store *s)
{
    if (s == NULL)
        return;
    for (int k = 0; k < SV_KIND_COUNT; k++) {
        for (uint32_t i = 0; i < s->n[k]; i++)
            if (s->item[k][i].t.at.buf != NULL && !s->item[k][i].is_alias)
                s->m->dev.chip->free(s->m->dev.device, s->item[k][i].t.at.buf);
        sv_mem_free(s->item[k]);
    }
    sv_mem_free(s);
}

sv_machine *sv_store_machine(sv_store *s)
{
    return s->m;
}
uint64_t sv_store_bytes(const sv_store *s)
{
    return s->bytes;
}

static entry *place_of(sv_store *s, sv_kind kind, uint32_t id)
{
    if (id >= s->n[kind]) {
        uint32_t n = id + 16 + id / 2;
        s->item[kind] = sv_mem_grow(s->item[kind], s->n[kind] * sizeof(entry), n * sizeof(entry));
        s->n[kind] = n;
    }
    return &s->item[kind][id];
}

const sv_tensor *sv_store_find(const sv_store *s, sv_kind kind, uint32_t id)
{
    if (id >= s->n[kind] || s->item[kind][id].t.at.buf == NULL)
        return NULL;
    return &s->item[kind][id].t;
}

static entry *need(sv_store *s, sv_kind kind, uint32_t id)
{
    SV_ASSERT(sv_store_find(s, kind, id) != NULL);
    return &s->item[kind][id];
}

sv_err sv_store_raw(sv_store *s, sv_kind kind, uint32_t id, const sv_tensor *shape)
{
    entry *e = place_of(s, kind, id);
    SV_ASSERT(e->t.at.buf == NULL);
    uint64_t bytes;
    SV_TRY(sv_tensor_bytes(shape, &bytes));
    sv_buffer *buf;
    SV_TRY(s->m->dev.chip->alloc(s->m->dev.device, bytes ? bytes : 1, &buf));
    e->t = *shape;
    e->t.at = (sv_span){ buf, 0 };
    e->bytes = bytes;
    s->bytes += bytes;
    return SV_OK;
}

static sv_err upload(sv_store *s, const entry *e, const void *data)
{
    const sv_chip *chip = s->m->dev.chip;
    if (e->bytes == 0)
        return SV_OK;
    SV_TRY(chip->put(s->m->dev.queue, e->t.at, data, e->bytes));
    return chip->wait(s->m->dev.queue);
}

sv_err sv_store_put(sv_store *s, sv_kind kind, uint32_t id, const sv_tensor *shape, const void *data)
{
    SV_TRY(sv_store_raw(s, kind, id, shape));
    return upload(s, need(s, kind, id), data);
}

/* Runs the op `pack` on the host: by the chip itself when its memory is the host's, else by the helper or the
 * reference. */
static sv_err pack_on_host(sv_store *s, const sv_tensor *from, sv_tensor *to)
{
    sv_attr_pack attr = { .image = to->image };
    sv_call call = { .op = SV_OP_pack, .n_in = 1, .n_out = 1, .in = from, .out = to, .attr = &attr };
    sv_chip_dev *d = s->m->dev.info.host_memory ? &s->m->dev : s->m->has_helper ? &s->m->helper : NULL;
    const sv_kernel *row = d ? sv_chip_row(d->chip, &call) : NULL;
    if (row == NULL || row->scratch_bytes != NULL)
        return sv_ref_run(&call);
    SV_TRY(row->run(d->queue, &call, (sv_span){ 0 }));
    return d->chip->wait(d->queue);
}

sv_err sv_store_put_packed(sv_store *s, sv_kind kind, uint32_t id, const sv_tensor *shape, const void *data)
{
    const sv_chip_dev *d = &s->m->dev;
    sv_image image = SV_IMAGE_PLAIN;
    if (d->chip->weight_image != NULL && shape->n_dim == 2)
        image = d->chip->weight_image(d->device, shape->dtype, shape->dim[0], shape->dim[1]);
    if (image == SV_IMAGE_PLAIN)
        return sv_store_put(s, kind, id, shape, data);
    sv_tensor packed = *shape;
    packed.image = (uint8_t)image;
    SV_TRY(sv_store_raw(s, kind, id, &packed));
    entry *e = need(s, kind, id);
    sv_buffer source = { (void *)(uintptr_t)data, 0 };
    SV_TRY(sv_tensor_bytes(shape, &source.bytes));
    sv_tensor from = *shape, to = e->t;
    from.at = (sv_span){ &source, 0 };
    if (d->info.host_memory)
        return pack_on_host(s, &from, &to);
    void *block;
    SV_TRY(sv_mem_large(e->bytes, "a packed weight", &block));
    sv_buffer target = { block, e->bytes };
    to.at = (sv_span){ &target, 0 };
    sv_err err = pack_on_host(s, &from, &to);
    if (err == SV_OK)
        err = upload(s, e, block);
    sv_mem_large_free(block, e->bytes);
    return err;
}

sv_err sv_store_clear(sv_store *s, sv_kind kind, uint32_t id)
{
    entry *e = need(s, kind, id);
    if (e->t.at.buf->host != NULL) {
        memset((char *)e->t.at.buf->host + e->t.at.off, 0, e->bytes);
        return SV_OK;
    }
    void *zero;
    SV_TRY(sv_mem_large(e->bytes ? e->bytes : 1, "a block of zeros", &zero));
    memset(zero, 0, e->bytes);
    sv_err err = upload(s, e, zero);
    sv_mem_large_free(zero, e->bytes ? e->bytes : 1);
    return err;
}

sv_err sv_store_zero(sv_store *s, sv_kind kind, uint32_t id, const sv_tensor *shape)
{
    SV_TRY(sv_store_raw(s, kind, id, shape));
    return sv_store_clear(s, kind, id);
}

sv_err sv_store_update(sv_store *s, sv_kind kind, uint32_t id, const void *data)
{
    entry *e = need(s, kind, id);
    SV_ASSERT(e->t.image == SV_IMAGE_PLAIN);
    return upload(s, e, data);
}

sv_err sv_store_alias(sv_store *s, sv_kind kind, uint32_t id, uint32_t other)
{
    entry from = *need(s, kind, other);
    entry *e = place_of(s, kind, id);
    SV_ASSERT(e->t.at.buf == NULL);
    *e = from;
    e->is_alias = true;
    return SV_OK;
}

static sv_err unpack(sv_store *s, const entry *e, const void *block, void *data)
{
    sv_buffer packed = { (void *)(uintptr_t)block, e->bytes }, plain = { data, 0 };
    sv_tensor from = e->t, to = sv_tensor_make(e->t.dtype, e->t.n_dim, e->t.dim);
    SV_TRY(sv_tensor_bytes(&to, &plain.bytes));
    from.at = (sv_span){ &packed, 0 };
    to.at = (sv_span){ &plain, 0 };
    return pack_on_host(s, &from, &to);
}

sv_err sv_store_get(sv_store *s, sv_kind kind, uint32_t id, void *data)
{
    entry *e = need(s, kind, id);
    const sv_chip *chip = s->m->dev.chip;
    void *block = data;
    if (e->bytes == 0)
        return SV_OK;
    if (e->t.image != SV_IMAGE_PLAIN)
        SV_TRY(sv_mem_large(e->bytes, "a packed weight", &block));
    sv_err err = chip->get(s->m->dev.queue, block, e->t.at, e->bytes);
    if (err == SV_OK)
        err = chip->wait(s->m->dev.queue);
    if (err == SV_OK && block != data)
        err = unpack(s, e, block, data);
    if (block != data)
        sv_mem_large_free(block, e->bytes);
    return err;
}
