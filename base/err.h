/* SPDX-License-Identifier: Apache-2.0
 * Errors: a code to return and a sentence kept per thread.
 * Threads: every function is safe from any thread; the sentence belongs to the calling thread.
 */
#ifndef SV_BASE_ERR_H
#define SV_BASE_ERR_H

#include "samsvar/err.h"

#if defined(__GNUC__)
#define SV_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define SV_PRINTF(fmt, args)
#endif

/* Keeps the sentence for this thread and gives the code back, so that `return sv_fail(...)` is one line.
 * A sentence names the thing, what was found, what is allowed and the next step. At most 2 KiB are kept. */
sv_err sv_fail(sv_err code, const char *fmt, ...) SV_PRINTF(2, 3);
/* Puts words in front of the sentence that is kept: "model.safetensors: " + old sentence. Gives `code` back. */
sv_err sv_fail_in(sv_err code, const char *fmt, ...) SV_PRINTF(2, 3);
/* The sentence of this thread's last failure; "" when there was none. Valid until the next sv_fail here. */
const char *sv_err_text(void);
/* "SHAPE" for SV_E_SHAPE. Never NULL. */
const char *sv_err_name(sv_err code);
/* What the code means, in words. Never NULL. */
const char *sv_err_meaning(sv_err code);
/* The program's exit code for an error (architecture: 0 done, 1 failed, 2 used wrongly, 3 file, 4 chip, 5 bits ...). */
int sv_err_exit_code(sv_err code);

/* The one macro that returns. */
#define SV_TRY(expr) \
    do { \
        sv_err sv_try_err_ = (expr); \
        if (sv_try_err_ != SV_OK) \
            return sv_try_err_; \
    } while (0)

/* A broken invariant of ours: message and abort. Never for input. */
#define SV_ASSERT(cond) ((cond) ? (void)0 : sv_assert_failed(#cond, __FILE__, __LINE__))
_Noreturn void sv_assert_failed(const char *cond, const char *file, int line);

#endif
