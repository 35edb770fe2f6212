/* SPDX-License-Identifier: Apache-2.0
 * Files: mapping, whole reads, atomic writes and logs. Folders and paths are in base/dir.c.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/io.h"

/* All mappings, so that advice reaches nothing else: dropped pages of other memory would be zeros. */
static pthread_mutex_t map_lock = PTHREAD_MUTEX_INITIALIZER;
static sv_file_map *map_list;
static size_t n_map, cap_map;

static void remember_map(sv_file_map m)
{
    pthread_mutex_lock(&map_lock);
    SV_PUSH(map_list, n_map, cap_map, m);
    pthread_mutex_unlock(&map_lock);
}

static void forget_map(const sv_file_map *m)
{
    pthread_mutex_lock(&map_lock);
    for (size_t i = 0; i < n_map; i++)
        if (map_list[i].p == m->p) {
            map_list[i] = map_list[--n_map];
            break;
        }
    if (n_map == 0) {
        sv_mem_free(map_list);
        map_list = NULL;
        cap_map = 0;
    }
    pthread_mutex_unlock(&map_lock);
}

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

/* inner: only pages that lie wholly inside. */
static void advise(const void *p, size_t n, int advice, bool inner)
{
    const uintptr_t page = 4096;
    uintptr_t begin = (uintptr_t)p, end = begin + n;
    bool mapped = false;
    pthread_mutex_lock(&map_lock);
    for (size_t i = 0; i < n_map && !mapped; i++)
        mapped = begin >= (uintptr_t)map_list[i].p && end <= (uintptr_t)map_list[i].p + map_list[i].n;
    pthread_mutex_unlock(&map_lock); /* whoever reads these bytes keeps the mapping open */
    begin = (inner ? begin + page - 1 : begin) & ~(page - 1);
    end = (inner ? end : end + page - 1) & ~(page - 1);
    if (mapped && begin < end)
        madvise((void *)begin, end - begin, advice);
}

void sv_file_map_soon(const void *p, size_t n)
{
    advise(p, n, MADV_POPULATE_READ, false);
}

void sv_file_map_later(const void *p, size_t n)
{
    advise(p, n, MADV_DONTNEED, true);
}

sv_err sv_file_map_open(const char *path, sv_file_map *out)
{
    *out = (sv_file_map){ (const uint8_t *)"", 0 };
    int fd = sv_io_open(AT_FDCWD, path, O_RDONLY, 0);
    if (fd < 0)
        return sv_io_fail(errno, path, "open it");
    struct stat st;
    sv_err e = SV_OK;
    if (fstat(fd, &st) != 0)
        e = sv_io_fail(errno, path, "find its size");
    else if (!S_ISREG(st.st_mode))
        e = sv_fail(SV_E_FORMAT, "%s: %s, a plain file is needed; check the path", path,
                    S_ISDIR(st.st_mode) ? "is a folder" : "is not a plain file");
    else if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            e = sv_io_fail(errno, path, "map it");
        else
            *out = (sv_file_map){ p, (size_t)st.st_size };
        if (out->n > 0)
            remember_map(*out);
    }
    close(fd);
    return e;
}

void sv_file_map_close(sv_file_map *m)
{
    if (m->n) {
        forget_map(m);
        munmap((void *)(uintptr_t)m->p, m->n);
    }
    *m = (sv_file_map){ (const uint8_t *)"", 0 };
}

/* Reads to the end of fd into a growing block; *n bytes, one more is free for the NUL. */
static sv_err read_all(int fd, const char *path, size_t first_cap, size_t max_bytes, char **p, size_t *n)
{
    size_t cap = first_cap;
    *p = sv_mem_new(cap);
    *n = 0;
    for (;;) {
        if (*n + 1 == cap) {
            size_t more = sv_mem_mul_or_die(cap, 2);
            *p = sv_mem_grow(*p, cap, more);
            cap = more;
        }
        ssize_t got = sv_io_read(fd, *p + *n, cap - 1 - *n);
        if (got < 0)
            return sv_io_fail(errno, path, "read it");
        if (got == 0)
            return SV_OK;
        *n += (size_t)got;
        if (*n > max_bytes)
            return sv_fail(SV_E_LIMIT,
                           "%s: longer than %zu bytes, the most that is read here; check that it is the right file",
                           path, max_bytes);
    }
}

sv_err sv_file_read(const char *path, size_t max_bytes, sv_arena *a, sv_str *out)
{
    *out = (sv_str){ "", 0 };
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : sv_io_open(AT_FDCWD, path, O_RDONLY, 0);
    if (fd < 0)
        return sv_io_fail(errno, path, "open it");
    struct stat st;
    size_t cap = 65536;
    sv_err e = SV_OK;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
        /* Refused before the first byte is read: a model's weights given as a prompt should not fill memory. */
        if ((uintmax_t)st.st_size > max_bytes)
            e = sv_fail(SV_E_LIMIT, "%s: %jd bytes, at most %zu are read here; check that it is the right file", path,
                        (intmax_t)st.st_size, max_bytes);
        cap = (size_t)st.st_size + 2;
    }
    char *p = NULL;
    size_t n = 0;
    if (e == SV_OK)
        e = read_all(fd, is_stdin ? "standard input" : path, cap, max_bytes, &p, &n);
    if (!is_stdin)
        close(fd);
    if (e != SV_OK) {
        sv_mem_free(p);
        return e;
    }
    p[n] = '\0';
    sv_arena_defer(a, sv_mem_free, p);
    *out = (sv_str){ p, n };
    return SV_OK;
}

enum { OUT_BUFFER = 256 << 10 };

struct sv_file_out {
    char *path, *temp; /* temp is NULL for a device or a pipe, which is written in place */
    int fd;
    bool has_failed;
    size_t n;
    char buf[OUT_BUFFER];
};

static void out_drop(sv_file_out *f)
{
    if (f->fd >= 0)
        close(f->fd);
    sv_mem_free(f->path);
    sv_mem_free(f->temp);
    sv_mem_free(f);
}

/* Opens a new file with a name of its own in the folder of `path`. */
static sv_err open_temp(sv_file_out *f)
{
    static atomic_uint counter;
    size_t n_dir = (size_t)(sv_path_base(f->path) - f->path), room = n_dir + 64;
    f->temp = sv_mem_new(room);
    /* A name that exists is a leftover of a dead process with our number: the next one is free soon. */
    for (int tries = 0; tries < 1000; tries++) {
        snprintf(f->temp, room, "%.*s.samsvar-%ld-%u.tmp", (int)n_dir, f->path, (long)getpid(),
                 atomic_fetch_add(&counter, 1));
        f->fd = sv_io_open(AT_FDCWD, f->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
        if (f->fd >= 0)
            return SV_OK;
        if (errno != EEXIST)
            break;
    }
    return sv_io_fail(errno, f->path, "make a temporary file beside it");
}

sv_err sv_file_out_open(const char *path, sv_file_out **out)
{
    *out = NULL;
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if ((exists && S_ISDIR(st.st_mode)) || *sv_path_base(path) == '\0')
        return sv_fail(SV_E_IO, "%s: is a folder, a file name is needed; check the path", path);
    sv_file_out *f = sv_mem_new(sizeof *f);
    f->path = sv_mem_text(path);
    f->fd = -1;
    sv_err e;
    if (exists && !S_ISREG(st.st_mode)) {
        f->fd = sv_io_open(AT_FDCWD, path, O_WRONLY, 0);
        e = f->fd < 0 ? sv_io_fail(errno, path, "open it for writing") : SV_OK;
    } else {
        e = open_temp(f);
        /* The new file keeps the old one's permissions; where that is refused it has those of a new file. */
        if (e == SV_OK && exists && fchmod(f->fd, st.st_mode & 0777) != 0)
            errno = 0;
    }
    if (e != SV_OK) {
        out_drop(f);
        return e;
    }
    *out = f;
    return SV_OK;
}

static sv_err out_put(sv_file_out *f, const void *data, size_t n)
{
    if (sv_io_write_all(f->fd, data, n))
        return SV_OK;
    f->has_failed = true;
    return sv_io_fail(errno, f->path, "write it");
}

static sv_err out_flush(sv_file_out *f)
{
    size_t n = f->n;
    f->n = 0;
    return out_put(f, f->buf, n);
}

sv_err sv_file_out_write(sv_file_out *f, const void *data, size_t n)
{
    if (f->has_failed)
        return sv_fail(SV_E_IO, "%s: an earlier write failed, nothing more is written; see the first error", f->path);
    if (n > OUT_BUFFER - f->n)
        SV_TRY(out_flush(f));
    if (n >= OUT_BUFFER)
        return out_put(f, data, n);
    if (n)
        memcpy(f->buf + f->n, data, n);
    f->n += n;
    return SV_OK;
}

static sv_err out_sync(sv_file_out *f)
{
    SV_TRY(out_flush(f));
    sv_fault_point("file_out.written");
    /* A failed fsync is final: the kernel may have dropped the pages, and a second call would report success. */
    if (!sv_io_fsync(f->fd) && !(f->temp == NULL && (errno == EINVAL || errno == EROFS)))
        return sv_io_fail(errno, f->path, "bring it to the disk");
    int fd = f->fd;
    f->fd = -1;
    if (close(fd) != 0)
        return sv_io_fail(errno, f->path, "close it");
    sv_fault_point("file_out.synced");
    return SV_OK;
}

sv_err sv_file_out_commit(sv_file_out *f)
{
    sv_err e = f->has_failed
                   ? sv_fail(SV_E_IO, "%s: an earlier write failed, the old file stays; see the first error", f->path)
                   : out_sync(f);
    if (e == SV_OK && f->temp && !sv_io_rename(f->temp, f->path))
        e = sv_io_fail(errno, f->path, "put the new file in its place");
    if (e != SV_OK) {
        sv_file_out_abort(f);
        return e;
    }
    sv_fault_point("file_out.renamed");
    if (f->temp) {
        sv_arena *a = sv_arena_make();
        e = sv_file_sync_dir(sv_path_dir(a, f->path));
        sv_arena_drop(a);
    }
    out_drop(f);
    return e;
}

void sv_file_out_abort(sv_file_out *f)
{
    if (!f)
        return;
    if (f->temp)
        sv_io_unlink(AT_FDCWD, f->temp, 0);
    out_drop(f);
}

sv_err sv_file_write(const char *path, sv_str data)
{
    sv_file_out *f;
    SV_TRY(sv_file_out_open(path, &f));
    sv_err e = sv_file_out_write(f, data.p, data.n);
    if (e != SV_OK) {
        sv_file_out_abort(f);
        return e;
    }
    return sv_file_out_commit(f);
}

struct sv_file_log {
    char *path;
    int fd;
    uint64_t bytes;
    sv_bytes line;
};

sv_err sv_file_log_open(const char *path, sv_file_log **out)
{
    *out = NULL;
    int fd = sv_io_open(AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT, 0666);
    struct stat st;
    if (fd < 0)
        return sv_io_fail(errno, path, "open it for writing");
    if (fstat(fd, &st) != 0) {
        int error = errno;
        close(fd);
        return sv_io_fail(error, path, "find its size");
    }
    sv_file_log *f = sv_mem_new(sizeof *f);
    f->path = sv_mem_text(path);
    f->fd = fd;
    f->bytes = (uint64_t)st.st_size;
    *out = f;
    return SV_OK;
}

sv_err sv_file_log_write(sv_file_log *f, sv_str line)
{
    sv_bytes_clear(&f->line);
    sv_bytes_add(&f->line, line.p, line.n);
    if (!sv_str_ends(line, "\n"))
        sv_bytes_char(&f->line, '\n');
    if (sv_io_write_all(f->fd, f->line.p, f->line.n)) {
        f->bytes += f->line.n;
        return SV_OK;
    }
    sv_err e = sv_io_fail(errno, f->path, "write a line");
    /* Half a line would make the next reader fail; where this is refused too, the reader says so. */
    if (ftruncate(f->fd, (off_t)f->bytes) != 0)
        errno = 0;
    return e;
}

sv_err sv_file_log_add(sv_file_log *f, const void *data, size_t n)
{
    if (!sv_io_write_all(f->fd, data, n))
        return sv_io_fail(errno, f->path, "write to it");
    f->bytes += n;
    return SV_OK;
}

sv_err sv_file_log_sync(sv_file_log *f)
{
    return sv_io_fsync(f->fd) ? SV_OK : sv_io_fail(errno, f->path, "bring it to the disk");
}

sv_err sv_file_log_cut(sv_file_log *f, uint64_t bytes)
{
    if (bytes > f->bytes)
        return sv_fail(SV_E_FORMAT,
                       "%s: has %llu bytes, at least %llu are expected; it was shortened from outside, bring it back "
                       "or start a new run",
                       f->path, (unsigned long long)f->bytes, (unsigned long long)bytes);
    if (ftruncate(f->fd, (off_t)bytes) != 0)
        return sv_io_fail(errno, f->path, "shorten it");
    f->bytes = bytes;
    return SV_OK;
}

uint64_t sv_file_log_bytes(const sv_file_log *f)
{
    return f->bytes;
}

void sv_file_log_close(sv_file_log *f)
{
    if (!f)
        return;
    close(f->fd);
    sv_mem_free(f->path);
    sv_bytes_done(&f->line);
    sv_mem_free(f);
}
