/* SPDX-License-Identifier: Apache-2.0
 * Files: the one layer over the file system, so that a test can make it fail.
 * Threads: handles are used by one thread at a time.
 * With -DSV_FAULTS, SAMSVAR_FAULT="file.write:nth=3:err=ENOSPC,..." makes calls fail (tests only, base/fault.h).
 */
#ifndef SV_BASE_FILE_H
#define SV_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/* A file mapped read-only. n = 0 gives p = "". */
typedef struct sv_file_map {
    const uint8_t *p;
    size_t n;
} sv_file_map;
sv_err sv_file_map_open(const char *path, sv_file_map *out);
void sv_file_map_close(sv_file_map *m);
/* Advice about bytes of any mapped file; others, and systems that do not take it, are left alone. Soon: they will be
 * read, so that their pages are mapped in one go. Later: they need not stay in this process's memory. */
void sv_file_map_soon(const void *p, size_t n);
void sv_file_map_later(const void *p, size_t n);

/* The whole file, at most max_bytes; NUL added behind. The arena owns it. "-" is stdin. */
sv_err sv_file_read(const char *path, size_t max_bytes, sv_arena *a, sv_str *out);

/* A file being written under a temporary name in the same folder; nothing is seen under `path` before commit. */
typedef struct sv_file_out sv_file_out;
sv_err sv_file_out_open(const char *path, sv_file_out **out);
sv_err sv_file_out_write(sv_file_out *f, const void *data, size_t n);
sv_err sv_file_out_commit(sv_file_out *f);           /* fsync, rename, fsync of the folder; closes in any case */
void sv_file_out_abort(sv_file_out *f);              /* removes the temporary file; closes. NULL is fine */
sv_err sv_file_write(const char *path, sv_str data); /* open, write, commit */

/* A file that grows line by line (logs): opened for append, created when missing. */
typedef struct sv_file_log sv_file_log;
sv_err sv_file_log_open(const char *path, sv_file_log **out);
sv_err sv_file_log_write(sv_file_log *f, sv_str line);
sv_err sv_file_log_add(sv_file_log *f, const void *data, size_t n); /* bytes as they are, no line end */
sv_err sv_file_log_sync(sv_file_log *f);
sv_err sv_file_log_cut(sv_file_log *f, uint64_t bytes); /* truncate to a length */
uint64_t sv_file_log_bytes(const sv_file_log *f);
void sv_file_log_close(sv_file_log *f);

bool sv_file_exists(const char *path);
bool sv_file_is_dir(const char *path);
sv_err sv_file_bytes(const char *path, uint64_t *out);
sv_err sv_file_mkdir(const char *path);                  /* with parents; existing is fine */
sv_err sv_file_rename(const char *from, const char *to); /* then fsync of the folder of `to` */
sv_err sv_file_remove_tree(const char *path);            /* missing is fine; never follows links */
sv_err sv_file_sync_dir(const char *path);
/* Names in a folder, sorted by bytes, without "." and "..". */
sv_err sv_file_list(const char *path, sv_arena *a, char ***names, size_t *n);
/* "a/b" + "c" -> "a/b/c" */
char *sv_path_join(sv_arena *a, const char *dir, const char *name);
char *sv_path_dir(sv_arena *a, const char *path); /* "." when there is none */
const char *sv_path_base(const char *path);
/* Takes a lock file (flock, exclusive, pid inside). SV_E_BUSY names the pid that holds it. */
sv_err sv_file_lock(const char *path, int *out_fd);
void sv_file_unlock(int fd);
/* $XDG_CACHE_HOME/samsvar or ~/.cache/samsvar, made when missing. */
sv_err sv_file_cache_dir(sv_arena *a, char **out);

#endif
