/* SPDX-License-Identifier: Apache-2.0
 * Finds chips, checks what a plug-in says about itself, and opens devices. A plug-in file is loaded only when its name
 * is asked for or when all chips are listed, so that `--chip cpu` never starts another maker's driver.
 */
#include "chip/registry.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "op/spec.h"

#define SYMBOL "sv_chip_plugin_v1"
#define MAX_ENTRY 64

extern const sv_chip sv_chip_cpu, sv_chip_ref, sv_chip_null, sv_chip_odd;
static const sv_chip *const linked_in[] = { &sv_chip_cpu, &sv_chip_ref, &sv_chip_null, &sv_chip_odd };

/* What is known of one chip. It lives as long as the process: code of a plug-in is never unloaded, because its threads
 * and the driver's exit handlers may still run. */
static struct {
    sv_chip_entry entry[MAX_ENTRY];
    sv_chip chip[MAX_ENTRY]; /* our copy, with NULL for members that the plug-in does not know */
    bool loaded[MAX_ENTRY];
    size_t n;
    bool scanned;
} reg;

static void host_log(int level, const char *subsystem, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sv_log_level l = level < 0 ? SV_LOG_ERROR : level > SV_LOG_TRACE ? SV_LOG_TRACE : (sv_log_level)level;
    sv_log(l, subsystem, "%s", text);
}

/* Devices keep the pointer, so a host table lives until the process ends; one per number of threads. */
static const sv_host *host_for(uint32_t n_thread)
{
    static sv_host *known[32];
    static size_t n_known;
    if (n_thread == 0)
        n_thread = sv_thread_cores(); /* a container's quota counts, not only its mask */
    for (size_t i = 0; i < n_known; i++)
        if (known[i]->n_thread == n_thread)
            return known[i];
    sv_host *h = sv_mem_new(sizeof *h);
    *h = (sv_host){ .size = sizeof *h, .n_thread = n_thread, .fail = sv_fail, .log = host_log };
    if (n_known < sizeof known / sizeof *known)
        known[n_known++] = h;
    return h;
}

/* Finding. */

static sv_chip_entry *add_entry(const char *name, const char *path)
{
    for (size_t i = 0; i < reg.n; i++)
        if (strcmp(reg.entry[i].name, name) == 0)
            return NULL; /* the first place wins */
    if (reg.n == MAX_ENTRY)
        return NULL;
    sv_chip_entry *e = &reg.entry[reg.n++];
    *e = (sv_chip_entry){ .path = sv_mem_text(path), .name = sv_mem_text(name) };
    return e;
}

static void scan_folder(const char *dir)
{
    static const char before[] = "samsvar-chip-", behind[] = ".so";
    char **name;
    size_t n;
    sv_arena *a = sv_arena_make();
    if (sv_file_is_dir(dir) && sv_file_list(dir, a, &name, &n) == SV_OK)
        for (size_t i = 0; i < n; i++) {
            size_t len = strlen(name[i]), frame = sizeof before - 1 + sizeof behind - 1;
            if (len <= frame || strncmp(name[i], before, sizeof before - 1) != 0 ||
                strcmp(name[i] + len - (sizeof behind - 1), behind) != 0)
                continue;
            add_entry(sv_arena_textn(a, name[i] + sizeof before - 1, len - frame), sv_path_join(a, dir, name[i]));
        }
    sv_arena_drop(a);
}

static void scan(void)
{
    if (reg.scanned)
        return;
    reg.scanned = true;
    for (size_t i = 0; i < sizeof linked_in / sizeof *linked_in; i++)
        add_entry(linked_in[i]->name, "");
    const char *dir = getenv("SAMSVAR_PLUGIN_DIR");
    if (dir != NULL && dir[0] == '/') /* a relative one would depend on the current directory */
        scan_folder(dir);
    else if (dir != NULL && dir[0] != 0)
        sv_log(SV_LOG_WARN, "chip", "SAMSVAR_PLUGIN_DIR=%s is not an absolute path and is ignored", dir);
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0)
        return;
    exe[n] = 0;
    sv_arena *a = sv_arena_make();
    const char *here = sv_path_dir(a, exe);
    scan_folder(here);
    scan_folder(sv_path_join(a, here, "../lib/samsvar"));
    sv_arena_drop(a);
}

/* Checking. */

static const char *missing_member(const sv_chip *c)
{
    const struct {
        const char *name;
        bool there;
    } must[] = {
        /* clang-format off */
        { "count", c->count != NULL },   { "open", c->open != NULL },
        { "close", c->close != NULL },   { "info", c->info != NULL },
        { "alloc", c->alloc != NULL },   { "free", c->free != NULL },
        { "queue_open", c->queue_open != NULL }, { "queue_close", c->queue_close != NULL },
        { "put", c->put != NULL },       { "get", c->get != NULL },
        { "copy", c->copy != NULL },     { "wait", c->wait != NULL },
        { "name", c->name != NULL },     { "version", c->version != NULL },
        { "op", c->op != NULL || c->n_op == 0 },
        { "mark, after and mark_drop (all or none)",
          (c->mark != NULL) == (c->after != NULL) && (c->mark != NULL) == (c->mark_drop != NULL) },
        { "record, seal, replay and replay_drop (all or none)",
          (c->record != NULL) == (c->seal != NULL) && (c->record != NULL) == (c->replay != NULL) &&
              (c->record != NULL) == (c->replay_drop != NULL) },
        /* clang-format on */
    };
    for (size_t i = 0; i < sizeof must / sizeof *must; i++)
        if (!must[i].there)
            return must[i].name;
    return NULL;
}

/* Copies as much as both sides know, and fails with a sentence when that is not enough. */
static sv_err check_chip(const sv_chip *theirs, const char *name, sv_chip *ours)
{
    if (theirs->abi != SV_CHIP_ABI)
        return sv_fail(SV_E_CHIP,
                       "chip %s: built for plug-in ABI %u, this program has ABI %d; build it against this "
                       "program's include/samsvar/chip.h",
                       name, theirs->abi, SV_CHIP_ABI);
    if (theirs->size < offsetof(sv_chip, weight_image))
        return sv_fail(SV_E_CHIP,
                       "chip %s: its sv_chip has %u bytes, ABI %d needs at least %zu; .size must be "
                       "sizeof(sv_chip)",
                       name, theirs->size, SV_CHIP_ABI, offsetof(sv_chip, weight_image));
    if (theirs->opset != SV_OPSET)
        return sv_fail(SV_E_CHIP, "chip %s: computes by opset %u, this program by opset %d; their answers would differ",
                       name, theirs->opset, SV_OPSET);
    memset(ours, 0, sizeof *ours);
    memcpy(ours, theirs, theirs->size < sizeof *ours ? theirs->size : sizeof *ours);
    const char *lack = missing_member(ours);
    if (lack != NULL)
        return sv_fail(SV_E_CHIP, "chip %s: its table lacks %s, which every plug-in must give", name, lack);
    if (strcmp(ours->name, name) != 0)
        return sv_fail(SV_E_CHIP, "chip %s: the plug-in calls itself %s; file and name must agree", name, ours->name);
    return SV_OK;
}

static sv_err load_plugin(const sv_chip_entry *e, const sv_chip **out)
{
    void *lib = dlopen(e->path, RTLD_NOW | RTLD_LOCAL);
    if (lib == NULL)
        return sv_fail(SV_E_CHIP, "chip %s: %s", e->name, dlerror());
    *out = dlsym(lib, SYMBOL);
    if (*out == NULL) {
        dlclose(lib);
        return sv_fail(SV_E_CHIP, "chip %s: %s has no symbol " SYMBOL ", so it is no plug-in of ABI %d", e->name,
                       e->path, SV_CHIP_ABI);
    }
    return SV_OK;
}

static sv_err try_load(size_t i)
{
    sv_chip_entry *e = &reg.entry[i];
    const sv_chip *theirs = NULL;
    if (e->path[0] == 0)
        theirs = linked_in[i];
    else
        SV_TRY(load_plugin(e, &theirs));
    SV_TRY(check_chip(theirs, e->name, &reg.chip[i]));
    e->chip = &reg.chip[i];
    SV_TRY(e->chip->count(&e->n_device));
    if (e->n_device == 0)
        return sv_fail(SV_E_CHIP, "chip %s: no device found", e->name);
    return SV_OK;
}

static sv_chip_entry *load(size_t i)
{
    sv_chip_entry *e = &reg.entry[i];
    if (!reg.loaded[i]) {
        reg.loaded[i] = true;
        if (try_load(i) != SV_OK) {
            e->why = sv_mem_text(sv_err_text());
            e->n_device = 0;
        }
    }
    return e;
}

sv_err sv_chips_list(const sv_chip_entry **out, size_t *n)
{
    scan();
    for (size_t i = 0; i < reg.n; i++)
        load(i);
    *out = reg.entry;
    *n = reg.n;
    return SV_OK;
}

/* Opening. */

static sv_err open_index(const sv_chip_entry *e, uint32_t index, const sv_host *host, sv_chip_dev *out)
{
    memset(out, 0, sizeof *out);
    out->chip = e->chip;
    SV_TRY(e->chip->open(index, host, &out->device));
    sv_err err = e->chip->info(out->device, &out->info);
    if (err == SV_OK &&
        (out->info.align == 0 || out->info.align > 4096 || (out->info.align & (out->info.align - 1)) != 0))
        err = sv_fail(SV_E_CHIP, "chip %s: its align is %u, allowed are powers of two up to 4096", e->name,
                      out->info.align);
    if (err != SV_OK) {
        e->chip->close(out->device);
        memset(out, 0, sizeof *out);
        return err;
    }
    if (out->info.variant[0] != 0)
        snprintf(out->spec, sizeof out->spec, "%s:%s", e->name, out->info.variant);
    else if (e->n_device > 1)
        snprintf(out->spec, sizeof out->spec, "%s:%u", e->name, index);
    else
        snprintf(out->spec, sizeof out->spec, "%s", e->name);
    return SV_OK;
}

static sv_err open_variant(const sv_chip_entry *e, const char *variant, const sv_host *host, sv_chip_dev *out)
{
    char seen[256] = "";
    for (uint32_t i = 0; i < e->n_device; i++) {
        if (open_index(e, i, host, out) != SV_OK)
            continue;
        if (strcmp(out->info.variant, variant) == 0)
            return SV_OK;
        size_t n = strlen(seen);
        snprintf(seen + n, sizeof seen - n, "%s%s", n ? ", " : "", out->info.variant[0] ? out->info.variant : "(none)");
        e->chip->close(out->device);
    }
    memset(out, 0, sizeof *out);
    return sv_fail(SV_E_CHIP, "chip %s has no variant %s here; it has: %s", e->name, variant, seen[0] ? seen : "none");
}

static sv_err open_entry(const sv_chip_entry *e, const char *which, uint32_t n_thread, sv_chip_dev *out)
{
    const sv_host *host = host_for(n_thread);
    uint64_t index = 0;
    if (e->why != NULL)
        return sv_fail(SV_E_CHIP, "%s", e->why);
    if (which == NULL)
        SV_TRY(open_index(e, 0, host, out));
    else if (sv_str_u64(sv_str_of(which), &index)) {
        if (index >= e->n_device)
            return sv_fail(SV_E_CHIP, "chip %s has %u device%s, numbered from 0; asked for %s", e->name, e->n_device,
                           e->n_device == 1 ? "" : "s", which);
        SV_TRY(open_index(e, (uint32_t)index, host, out));
    } else
        SV_TRY(open_variant(e, which, host, out));
    sv_err err = out->chip->queue_open(out->device, &out->queue);
    if (err != SV_OK) {
        out->chip->close(out->device);
        memset(out, 0, sizeof *out);
    }
    return err;
}

static sv_err open_default(uint32_t n_thread, sv_chip_dev *out)
{
    size_t cpu = 0;
    for (size_t i = 0; i < reg.n; i++) {
        if (strcmp(reg.entry[i].name, "cpu") == 0)
            cpu = i;
        if (strcmp(reg.entry[i].name, "cuda") != 0)
            continue;
        if (open_entry(load(i), NULL, n_thread, out) != SV_OK)
            sv_log(SV_LOG_INFO, "chip", "cuda is not used: %s", sv_err_text());
        else if (out->info.is_exact)
            return SV_OK;
        else
            sv_chip_close(out); /* close arithmetic is never the default */
    }
    return open_entry(load(cpu), NULL, n_thread, out);
}

sv_err sv_chip_open(const char *spec, const sv_chip_opts *opts, sv_chip_dev *out)
{
    uint32_t n_thread = opts != NULL ? opts->n_thread : 0;
    memset(out, 0, sizeof *out);
    scan();
    if (spec == NULL || spec[0] == 0)
        return open_default(n_thread, out);
    const char *colon = strchr(spec, ':');
    size_t len = colon != NULL ? (size_t)(colon - spec) : strlen(spec);
    for (size_t i = 0; i < reg.n; i++)
        if (strlen(reg.entry[i].name) == len && memcmp(reg.entry[i].name, spec, len) == 0)
            return open_entry(load(i), colon != NULL ? colon + 1 : NULL, n_thread, out);
    char names[512] = "";
    for (size_t i = 0; i < reg.n; i++) {
        size_t n = strlen(names);
        snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", reg.entry[i].name);
    }
    return sv_fail(SV_E_CHIP, "no chip is called %.*s; there are: %s", (int)(len > 100 ? 100 : len), spec, names);
}

void sv_chip_close(sv_chip_dev *d)
{
    if (d == NULL || d->device == NULL)
        return;
    if (d->queue != NULL)
        d->chip->queue_close(d->queue);
    d->chip->close(d->device);
    memset(d, 0, sizeof *d);
}

/* Rows and the reference. */

const sv_kernel *sv_chip_row(const sv_chip *chip, const sv_call *call)
{
    if (chip->op == NULL || (uint32_t)call->op >= chip->n_op)
        return NULL;
    const sv_kernel *row = &chip->op[call->op];
    if (row->run == NULL || (row->takes != NULL && !row->takes(call)))
        return NULL;
    return row;
}

sv_err sv_ref_run(const sv_call *call)
{
    const sv_opspec *spec = sv_opspecs[call->op];
    size_t bytes = spec->ref_scratch_bytes != NULL ? spec->ref_scratch_bytes(call) : 0;
    void *scratch = NULL;
    if (bytes > 0)
        SV_TRY(sv_mem_large(bytes, "scratch of a reference", &scratch));
    spec->ref(call, scratch);
    if (scratch != NULL)
        sv_mem_large_free(scratch, bytes);
    return SV_OK;
}
