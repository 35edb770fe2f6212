/* SPDX-License-Identifier: Apache-2.0
 * Programs of the OpenCL chip: sources are inside the plug-in, built binaries are kept in the user's cache folder under
 * a name made of source, device, driver and options. A cached binary that is odd in any way is built anew.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chips/opencl/opencl.h"
#include "opencl_kernels.inc" /* made by tools/embed.sh from kernels/ and num/ */

#define MAX_PART 12
#define MAX_BINARY (64u << 20)
static const char magic[8] = "svoclb1";

typedef struct program_text {
    const char *name;
    const char *part[MAX_PART];
} program_text;

#define CANON embed_canon_f16_cl, embed_canon_inc, embed_canon_f1_cl, embed_canon_inc
static const program_text texts[OCL_PROGRAM_COUNT] = {
    [OCL_ELEM] = { "elem", { embed_common_cl, CANON, embed_elem_cl } },
    [OCL_NORM] = { "norm", { embed_common_cl, CANON, embed_halve_h, embed_norm_cl } },
    [OCL_ATTEND] = { "attend", { embed_common_cl, CANON, embed_attend_cl } },
    [OCL_MOVE] = { "move", { embed_common_cl, embed_move_cl } },
    [OCL_MATMUL] = { "matmul", { embed_common_cl, embed_halve_h, embed_matmul_cl } },
    [OCL_BLOCK] = { "block", { embed_common_cl, embed_halve_h, embed_block_cl } },
};

static const struct {
    const char *name;
    ocl_program program;
} kernels[OCL_KERNEL_COUNT] = {
#define OCL_ROW(name, program) { #name, OCL_##program },
    OCL_KERNEL_LIST(OCL_ROW)
#undef OCL_ROW
};

/* Only what the law allows: division and root are rounded correctly; nothing relaxes anything. */
static const char *options_of(const sv_device *d)
{
    return d->is_cpu ? "-cl-std=CL1.2 -cl-fp32-correctly-rounded-divide-sqrt -w -DSV_CPU=1"
                     : "-cl-std=CL1.2 -cl-fp32-correctly-rounded-divide-sqrt -w";
}

/* The cache. */

typedef struct cache_key {
    uint64_t a, b;
} cache_key;

static void key_text(cache_key *k, const char *text) /* FNV-1a over bytes and the end, from two starts */
{
    do {
        k->a = (k->a ^ (unsigned char)*text) * 0x100000001b3u;
        k->b = (k->b ^ (unsigned char)*text) * 0x100000001b3u + 0x9e3779b97f4a7c15u;
    } while (*text++ != 0);
}

static cache_key key_of(const sv_device *d, ocl_program p)
{
    cache_key k = { 0xcbf29ce484222325u, 0x84222325cbf29ce4u };
    char platform[256] = "";
    clGetPlatformInfo(d->platform, CL_PLATFORM_VERSION, sizeof platform - 1, platform, NULL);
    for (uint32_t i = 0; i < MAX_PART && texts[p].part[i] != NULL; i++)
        key_text(&k, texts[p].part[i]);
    key_text(&k, platform);
    key_text(&k, d->name);
    key_text(&k, d->driver);
    key_text(&k, options_of(d));
    return k;
}

/* The file for a key, its folder made. False when there is no place for it: then nothing is cached. */
static bool cache_path(const sv_device *d, ocl_program p, char *out, size_t cap)
{
    char dir[512];
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (base != NULL && base[0] == '/')
        n = snprintf(dir, sizeof dir, "%s/samsvar", base);
    else if (home != NULL && home[0] == '/') {
        n = snprintf(dir, sizeof dir, "%s/.cache", home);
        if (n > 0 && (size_t)n < sizeof dir)
            mkdir(dir, 0700);
        n = snprintf(dir, sizeof dir, "%s/.cache/samsvar", home);
    } else
        return false;
    if (n <= 0 || (size_t)n + 8 >= sizeof dir)
        return false;
    mkdir(dir, 0700);
    strcat(dir, "/opencl");
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return false;
    cache_key k = key_of(d, p);
    n = snprintf(out, cap, "%s/%s-%016llx%016llx.bin", dir, texts[p].name, (unsigned long long)k.a,
                 (unsigned long long)k.b);
    return n > 0 && (size_t)n < cap;
}

static uint64_t sum_of(const unsigned char *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

typedef struct cache_head {
    char magic[8];
    uint64_t bytes, sum;
} cache_head;

/* The bytes of a cached binary, or NULL. */
static unsigned char *cache_read(const char *path, size_t *n)
{
    cache_head head;
    unsigned char *data = NULL;
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return NULL;
    if (fread(&head, sizeof head, 1, f) == 1 && memcmp(head.magic, magic, sizeof magic) == 0 && head.bytes > 0 &&
        head.bytes <= MAX_BINARY)
        data = malloc(head.bytes);
    if (data != NULL &&
        (fread(data, 1, head.bytes, f) != head.bytes || fgetc(f) != EOF || sum_of(data, head.bytes) != head.sum)) {
        free(data);
        data = NULL;
    }
    fclose(f);
    *n = data != NULL ? head.bytes : 0;
    return data;
}

/* Under a name of its own first, so that another process never reads half a file. */
static void cache_write(const char *path, const unsigned char *data, size_t n)
{
    char tmp[700];
    cache_head head = { .bytes = n, .sum = sum_of(data, n) };
    memcpy(head.magic, magic, sizeof magic);
    int len = snprintf(tmp, sizeof tmp, "%s.%ld", path, (long)getpid());
    if (len <= 0 || (size_t)len >= sizeof tmp)
        return;
    FILE *f = fopen(tmp, "wb");
    if (f == NULL)
        return;
    bool good = fwrite(&head, sizeof head, 1, f) == 1 && fwrite(data, 1, n, f) == n;
    good = fclose(f) == 0 && good;
    if (!good || rename(tmp, path) != 0)
        remove(tmp);
}

static cl_program from_cache(sv_device *d, const char *path)
{
    size_t n;
    unsigned char *data = cache_read(path, &n);
    if (data == NULL)
        return NULL;
    cl_int code, status;
    const unsigned char *binary = data;
    cl_program p = clCreateProgramWithBinary(d->context, 1, &d->id, &n, &binary, &status, &code);
    free(data);
    if (code != CL_SUCCESS || status != CL_SUCCESS) {
        if (code == CL_SUCCESS)
            clReleaseProgram(p);
        return NULL;
    }
    if (clBuildProgram(p, 1, &d->id, options_of(d), NULL, NULL) != CL_SUCCESS) {
        clReleaseProgram(p);
        return NULL;
    }
    d->host->log(3, "opencl", "%s from the cache", path);
    return p;
}

static void to_cache(cl_program p, const char *path)
{
    size_t n = 0;
    if (clGetProgramInfo(p, CL_PROGRAM_BINARY_SIZES, sizeof n, &n, NULL) != CL_SUCCESS || n == 0 || n > MAX_BINARY)
        return;
    unsigned char *data = malloc(n);
    if (data == NULL)
        return;
    if (clGetProgramInfo(p, CL_PROGRAM_BINARIES, sizeof data, &data, NULL) == CL_SUCCESS)
        cache_write(path, data, n);
    free(data);
}

/* Building. */

static sv_err build_failed(sv_device *d, ocl_program which, cl_program p, cl_int code)
{
    char log[1536] = "";
    size_t n = 0;
    char *all = NULL;
    if (clGetProgramBuildInfo(p, d->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &n) == CL_SUCCESS && n > 0 &&
        (all = calloc(1, n + 1)) != NULL)
        clGetProgramBuildInfo(p, d->id, CL_PROGRAM_BUILD_LOG, n, all, NULL);
    snprintf(log, sizeof log, "%.1500s", all != NULL ? all : "(no log)");
    free(all);
    clReleaseProgram(p);
    return d->host->fail(SV_E_CHIP, "opencl: %s could not build %s.cl: %s\n%s", d->name, texts[which].name,
                         ocl_error(code), log);
}

static sv_err build(sv_device *d, ocl_program which, cl_program *out)
{
    const char *part[MAX_PART];
    cl_uint n = 0;
    while (n < MAX_PART && texts[which].part[n] != NULL) {
        part[n] = texts[which].part[n];
        n++;
    }
    cl_int code;
    cl_program p = clCreateProgramWithSource(d->context, n, part, NULL, &code);
    if (code != CL_SUCCESS)
        return ocl_fail(d, code, "making a program");
    code = clBuildProgram(p, 1, &d->id, options_of(d), NULL, NULL);
    if (code != CL_SUCCESS)
        return build_failed(d, which, p, code);
    *out = p;
    return SV_OK;
}

static sv_err program_of(sv_device *d, ocl_program which)
{
    char path[640];
    bool cached = cache_path(d, which, path, sizeof path);
    if (cached)
        d->program[which] = from_cache(d, path);
    if (d->program[which] != NULL)
        return SV_OK;
    sv_err err = build(d, which, &d->program[which]);
    if (err == SV_OK && cached)
        to_cache(d->program[which], path);
    return err;
}

sv_err ocl_kernel(sv_device *d, ocl_kernel_id id, cl_kernel *out)
{
    if (d->kernel[id] == NULL) {
        ocl_program which = kernels[id].program;
        if (d->program[which] == NULL) {
            sv_err err = program_of(d, which);
            if (err != SV_OK)
                return err;
        }
        cl_int code;
        d->kernel[id] = clCreateKernel(d->program[which], kernels[id].name, &code);
        if (code != CL_SUCCESS) {
            d->kernel[id] = NULL;
            return ocl_fail(d, code, kernels[id].name);
        }
    }
    *out = d->kernel[id];
    return SV_OK;
}
