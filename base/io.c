/* SPDX-License-Identifier: Apache-2.0
 * System calls on files, the fault seam in front of them, and the sentences of their errors.
 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "base/fault.h"

#ifdef SV_FAULTS
#include <pthread.h>
#include <stdlib.h>

enum { MAX_RULES = 32, MAX_NAME = 64 };

typedef struct rule {
    char name[MAX_NAME]; /* "file.write", "alloc", or the point's name when it dies */
    bool dies, is_onward;
    unsigned long nth, seen;
    int error;
} rule;

static pthread_mutex_t rules_lock = PTHREAD_MUTEX_INITIALIZER;
static rule rules[MAX_RULES];
static size_t n_rule;
static bool is_loaded;

static const struct {
    const char *name;
    int value;
} errno_names[] = {
    { "EIO", EIO },       { "ENOSPC", ENOSPC }, { "EDQUOT", EDQUOT }, { "EACCES", EACCES }, { "ENOENT", ENOENT },
    { "ENOMEM", ENOMEM }, { "EROFS", EROFS },   { "EMFILE", EMFILE }, { "EPERM", EPERM },   { "EBUSY", EBUSY },
};

static _Noreturn void bad_rule(const char *text)
{
    fprintf(stderr, "samsvar: SAMSVAR_FAULT: cannot read the rule \"%s\"; base/fault.h has the grammar\n", text);
    abort();
}

static int errno_of(const char *name)
{
    for (size_t i = 0; i < sizeof errno_names / sizeof errno_names[0]; i++)
        if (strcmp(errno_names[i].name, name) == 0)
            return errno_names[i].value;
    bad_rule(name);
}

static bool is_call(const char *name)
{
    static const char *const calls[] = { "file.open",   "file.read",   "file.write", "file.fsync",
                                         "file.rename", "file.unlink", "file.mkdir", "alloc" };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (strcmp(calls[i], name) == 0)
            return true;
    return false;
}

static void set_option(rule *r, const char *option)
{
    if (strncmp(option, "err=", 4) == 0) {
        r->error = errno_of(option + 4);
        return;
    }
    r->is_onward = strncmp(option, "from=", 5) == 0;
    if (!r->is_onward && strncmp(option, "nth=", 4) != 0)
        bad_rule(option);
    char *end;
    r->nth = strtoul(strchr(option, '=') + 1, &end, 10);
    if (*end || r->nth == 0)
        bad_rule(option);
}

static void add_rule(char *text)
{
    if (n_rule == MAX_RULES)
        bad_rule(text);
    rule *r = &rules[n_rule];
    *r = (rule){ .nth = 1, .error = EIO };
    char *save = NULL;
    char *word = strtok_r(text, ":", &save);
    if (word && strcmp(word, "die") == 0) {
        r->dies = true;
        word = strtok_r(NULL, ":", &save);
    }
    if (!word || strlen(word) >= MAX_NAME || (!r->dies && !is_call(word)))
        bad_rule(word ? word : text);
    memcpy(r->name, word, strlen(word) + 1);
    while ((word = strtok_r(NULL, ":", &save)))
        set_option(r, word);
    n_rule++;
}

static void load_rules(const char *text)
{
    n_rule = 0;
    is_loaded = true;
    if (!text)
        return;
    char copy[2048];
    if (strlen(text) >= sizeof copy)
        bad_rule("(more than 2 KiB)");
    memcpy(copy, text, strlen(text) + 1);
    char *save = NULL;
    for (char *r = strtok_r(copy, ",", &save); r; r = strtok_r(NULL, ",", &save))
        add_rule(r);
}

void sv_fault_set(const char *text)
{
    pthread_mutex_lock(&rules_lock);
    load_rules(text);
    pthread_mutex_unlock(&rules_lock);
}

static int hit(const char *name, bool dies)
{
    int error = 0;
    pthread_mutex_lock(&rules_lock);
    if (!is_loaded)
        load_rules(getenv("SAMSVAR_FAULT"));
    for (size_t i = 0; i < n_rule; i++) {
        rule *r = &rules[i];
        if (r->dies != dies || strcmp(r->name, name) != 0)
            continue;
        r->seen++;
        if (!error && (r->seen == r->nth || (r->is_onward && r->seen > r->nth)))
            error = r->error;
    }
    pthread_mutex_unlock(&rules_lock);
    return error;
}

int sv_fault_errno(const char *call)
{
    return hit(call, false);
}

void sv_fault_point(const char *name)
{
    if (hit(name, true))
        _exit(137);
}
#endif

/* True when the seam wants this call to fail; errno is set then. */
static bool is_faulty(const char *call)
{
    int error = sv_fault_errno(call);
    (void)call;
    if (error)
        errno = error;
    return error != 0;
}

int sv_io_open(int dir_fd, const char *path, int flags, mode_t mode)
{
    if (is_faulty("file.open"))
        return -1;
    int fd;
    do
        fd = openat(dir_fd, path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

ssize_t sv_io_read(int fd, void *p, size_t n)
{
    if (is_faulty("file.read"))
        return -1;
    ssize_t got;
    do
        got = read(fd, p, n);
    while (got < 0 && errno == EINTR);
    return got;
}

bool sv_io_write_all(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n > 0) {
        if (is_faulty("file.write"))
            return false;
        ssize_t put = write(fd, at, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        at += put;
        n -= (size_t)put;
    }
    return true;
}

bool sv_io_fsync(int fd)
{
    return !is_faulty("file.fsync") && fsync(fd) == 0;
}

bool sv_io_rename(const char *from, const char *to)
{
    return !is_faulty("file.rename") && rename(from, to) == 0;
}

bool sv_io_unlink(int dir_fd, const char *path, int flags)
{
    return !is_faulty("file.unlink") && unlinkat(dir_fd, path, flags) == 0;
}

bool sv_io_mkdir(const char *path, mode_t mode)
{
    return !is_faulty("file.mkdir") && mkdir(path, mode) == 0;
}

static const char *next_step(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return "change its permissions or run as the user who owns it";
    case EROFS:
        return "choose a folder that can be written";
    case EMFILE:
    case ENFILE:
        return "raise the limit of open files (ulimit -n)";
    case EIO:
        return "look at the disk's health (dmesg); what was written before is kept";
    default:
        return "check the path";
    }
}

sv_err sv_io_fail(int error, const char *path, const char *what)
{
    char buf[128];
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return sv_fail(SV_E_NOSPACE,
                       "%s: cannot %s: the disk or the user's quota is full; free space there and run the same "
                       "line again",
                       path, what);
    case ENOENT:
    case ENOTDIR:
        return sv_fail(SV_E_NOTFOUND, "%s: cannot %s: no such file or folder; check the path", path, what);
    case ENOMEM:
        return sv_fail(SV_E_NOMEM, "%s: cannot %s: the system has no memory left for it; stop other programs", path,
                       what);
    default:
        return sv_fail(SV_E_IO, "%s: cannot %s: %s; %s", path, what, strerror_r(error, buf, sizeof buf),
                       next_step(error));
    }
}
