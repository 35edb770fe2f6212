/* SPDX-License-Identifier: Apache-2.0
 * System calls on files with the fault seam in front; for base/ alone. They set errno like the calls they stand for.
 * Threads: safe from any thread.
 */
#ifndef SV_BASE_IO_H
#define SV_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

int sv_io_open(int dir_fd, const char *path, int flags, mode_t mode); /* O_CLOEXEC is added */
ssize_t sv_io_read(int fd, void *p, size_t n);                        /* goes on after a signal */
bool sv_io_write_all(int fd, const void *p, size_t n);                /* goes on after a signal and a short write */
bool sv_io_fsync(int fd);                                             /* never tried twice: a second one may lie */
bool sv_io_rename(const char *from, const char *to);
bool sv_io_unlink(int dir_fd, const char *path, int flags);
bool sv_io_mkdir(const char *path, mode_t mode);
/* Makes code and sentence of an errno: "PATH: cannot DO: REASON; next step". */
sv_err sv_io_fail(int error, const char *path, const char *what);

#endif
