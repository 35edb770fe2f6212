/* SPDX-License-Identifier: Apache-2.0
 * Folders, paths and lock files: the second half of base/file.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/io.h"

bool sv_file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool sv_file_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

sv_err sv_file_bytes(const char *path, uint64_t *out)
{
    struct stat st;
    *out = 0;
    if (stat(path, &st) != 0)
        return sv_io_fail(errno, path, "find its size");
    *out = (uint64_t)st.st_size;
    return SV_OK;
}

/* One folder of a path; a new one is made known to the disk by its parent. */
static sv_err make_one(const char *path, mode_t mode)
{
    if (!sv_io_mkdir(path, mode)) {
        if (errno != EEXIST)
            return sv_io_fail(errno, path, "make the folder");
        if (!sv_file_is_dir(path))
            return sv_fail(SV_E_IO, "%s: exists and is not a folder; move it away or choose another path", path);
        return SV_OK;
    }
    sv_arena *a = sv_arena_make();
    sv_err e = sv_file_sync_dir(sv_path_dir(a, path));
    sv_arena_drop(a);
    return e;
}

static sv_err make_all(const char *path, mode_t mode)
{
    if (sv_file_is_dir(path))
        return SV_OK;
    char *copy = sv_mem_text(path);
    sv_err e = SV_OK;
    for (char *at = copy + 1; *copy && *at && e == SV_OK; at++) {
        if (*at != '/' || at[-1] == '/')
            continue;
        *at = '\0';
        if (!sv_file_is_dir(copy))
            e = make_one(copy, mode);
        *at = '/';
    }
    if (e == SV_OK && !sv_file_is_dir(copy))
        e = make_one(copy, mode);
    sv_mem_free(copy);
    return e;
}

sv_err sv_file_mkdir(const char *path)
{
    return make_all(path, 0777);
}

sv_err sv_file_sync_dir(const char *path)
{
    int fd = sv_io_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return sv_io_fail(errno, path, "open the folder");
    bool is_done = sv_io_fsync(fd);
    int error = errno;
    close(fd);
    /* EINVAL: a file system without an fsync of folders; there is nothing to wait for. */
    return is_done || error == EINVAL ? SV_OK : sv_io_fail(error, path, "bring the folder to the disk");
}

sv_err sv_file_rename(const char *from, const char *to)
{
    if (!sv_io_rename(from, to)) {
        int error = errno;
        sv_io_fail(error, from, "rename it");
        return sv_fail_in(error == ENOSPC || error == EDQUOT ? SV_E_NOSPACE
                          : error == ENOENT                  ? SV_E_NOTFOUND
                                                             : SV_E_IO,
                          "to %s", to);
    }
    sv_arena *a = sv_arena_make();
    sv_err e = sv_file_sync_dir(sv_path_dir(a, to));
    sv_arena_drop(a);
    return e;
}

/* Removes name in dir_fd, with all below when it is a folder. Links are removed, never followed. */
static sv_err remove_at(int dir_fd, const char *name, const char *path, int depth)
{
    enum { MAX_DEPTH = 128 };
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? SV_OK : sv_io_fail(errno, path, "look at it");
    bool is_dir = S_ISDIR(st.st_mode);
    if (is_dir) {
        if (depth >= MAX_DEPTH)
            return sv_fail(SV_E_LIMIT, "%s: folders nested deeper than %d; remove it by hand", path, MAX_DEPTH);
        int fd = sv_io_open(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (fd < 0)
            return sv_io_fail(errno, path, "open the folder");
        DIR *d = fdopendir(fd);
        if (!d) {
            int error = errno;
            close(fd);
            return sv_io_fail(error, path, "list the folder");
        }
        sv_err e = SV_OK;
        struct dirent *entry;
        while (e == SV_OK && (errno = 0, entry = readdir(d)))
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                e = remove_at(fd, entry->d_name, path, depth + 1);
        if (e == SV_OK && errno)
            e = sv_io_fail(errno, path, "list the folder");
        closedir(d);
        SV_TRY(e);
    }
    if (!sv_io_unlink(dir_fd, name, is_dir ? AT_REMOVEDIR : 0) && errno != ENOENT)
        return sv_io_fail(errno, path, "remove it");
    return SV_OK;
}

sv_err sv_file_remove_tree(const char *path)
{
    return remove_at(AT_FDCWD, path, path, 0);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

sv_err sv_file_list(const char *path, sv_arena *a, char ***names, size_t *n)
{
    *names = NULL;
    *n = 0;
    int fd = sv_io_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return sv_io_fail(errno, path, "open the folder");
    DIR *d = fdopendir(fd);
    if (!d) {
        int error = errno;
        close(fd);
        return sv_io_fail(error, path, "list the folder");
    }
    char **found = NULL;
    size_t n_found = 0, cap = 0;
    struct dirent *entry;
    while ((errno = 0, entry = readdir(d)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            SV_PUSH(found, n_found, cap, sv_arena_text(a, entry->d_name));
    int error = errno;
    closedir(d);
    if (n_found)
        qsort(found, n_found, sizeof *found, by_bytes);
    *names = SV_NEW_N(a, char *, n_found + 1);
    if (n_found)
        memcpy(*names, found, n_found * sizeof *found);
    *n = n_found;
    sv_mem_free(found);
    return error ? sv_io_fail(error, path, "list the folder") : SV_OK;
}

char *sv_path_join(sv_arena *a, const char *dir, const char *name)
{
    size_t n = strlen(dir);
    return sv_arena_printf(a, "%s%s%s", dir, n == 0 || dir[n - 1] == '/' ? "" : "/", name);
}

char *sv_path_dir(sv_arena *a, const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    if (n == 0)
        return sv_arena_text(a, ".");
    while (n > 1 && path[n - 1] == '/')
        n--;
    return sv_arena_textn(a, path, n);
}

const char *sv_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The process number in a lock file; 0 when it cannot be read. */
static long lock_holder(int fd)
{
    char text[32];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return strtol(text, NULL, 10);
}

sv_err sv_file_lock(const char *path, int *out_fd)
{
    *out_fd = -1;
    int fd = sv_io_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0666);
    if (fd < 0)
        return sv_io_fail(errno, path, "open the lock file");
    sv_err e = SV_OK;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            e = sv_fail(SV_E_BUSY, "%s: process %ld holds it, one at a time is allowed; wait for it or stop it", path,
                        lock_holder(fd));
        else
            e = sv_io_fail(errno, path, "lock it");
    } else {
        char text[32];
        int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
        if (ftruncate(fd, 0) != 0 || !sv_io_write_all(fd, text, (size_t)n))
            e = sv_io_fail(errno, path, "write the process number into it");
    }
    if (e != SV_OK)
        close(fd);
    else
        *out_fd = fd;
    return e;
}

void sv_file_unlock(int fd)
{
    if (fd < 0)
        return;
    /* The file stays: to remove it would let a second process lock a file that a third can no longer see. */
    if (ftruncate(fd, 0) != 0)
        errno = 0;
    close(fd);
}

sv_err sv_file_cache_dir(sv_arena *a, char **out)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    *out = NULL;
    /* The XDG base directory specification: a relative path is to be ignored; new folders have mode 0700. */
    if (xdg && xdg[0] == '/')
        *out = sv_path_join(a, xdg, "samsvar");
    else if (home && home[0] == '/')
        *out = sv_path_join(a, home, ".cache/samsvar");
    else
        return sv_fail(SV_E_NOTFOUND,
                       "cache folder: neither XDG_CACHE_HOME nor HOME is an absolute path; set one of them");
    return make_all(*out, 0700);
}
