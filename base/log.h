/* SPDX-License-Identifier: Apache-2.0
 * Logging to stderr, one line each: SV_LOG_INFO, "train", "resumed from step %u". Prompts and answers: trace only.
 * Threads: safe from any thread.
 */
#ifndef SV_BASE_LOG_H
#define SV_BASE_LOG_H

#include <stdbool.h>

#include "base/err.h"

typedef enum sv_log_level { SV_LOG_ERROR, SV_LOG_WARN, SV_LOG_INFO, SV_LOG_DEBUG, SV_LOG_TRACE } sv_log_level;

void sv_log(sv_log_level level, const char *subsystem, const char *fmt, ...) SV_PRINTF(3, 4);
void sv_log_set(sv_log_level max_level, bool json); /* default: warn, plain */

#endif
