/* SPDX-License-Identifier: Apache-2.0
 * Everything that is printed: answers and data on stdout, the rest on stderr.
 * Threads: the main thread.
 */
#ifndef SV_CLI_OUT_H
#define SV_CLI_OUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

void sv_out_init(bool quiet, bool no_color);

void sv_out(const char *fmt, ...) SV_PRINTF(1, 2); /* stdout */
void sv_out_str(sv_str text);
void sv_out_flush(void);
/* One line; takes the object. Adds "v":1 in front of an object that has "event". */
void sv_out_json(json_t *o);
/* One object on several lines. */
void sv_out_json_pretty(json_t *o);
/* SV_E_IO when something that was printed did not get out. */
sv_err sv_out_end(void);
bool sv_out_failed(void); /* already: nobody reads what is still to come */

void sv_note(const char *fmt, ...) SV_PRINTF(1, 2); /* a line on stderr, unless quiet; the line end is added */
void sv_warn(const char *fmt, ...) SV_PRINTF(1, 2); /* the same, also when quiet, behind "samsvar: " */
void sv_say_error(const char *text);

/* A line that is redrawn on a terminal, at most 10 times a second; elsewhere a line every 10 seconds. */
void sv_live(const char *fmt, ...) SV_PRINTF(1, 2);
void sv_live_end(void); /* leaves what stands there last, in full */

bool sv_out_tty(void);      /* stdout is a terminal */
bool sv_note_tty(void);     /* stderr */
bool sv_out_color(void);    /* stdout takes colours */
uint32_t sv_out_cols(void); /* width of stdout: the terminal's, else COLUMNS, else 100 */

/* Appends a model's text with control characters (but line feed and tab) as visible escapes. */
void sv_show(sv_str text, sv_bytes *out);
/* Appends a curve of n values drawn with dots, `rows` lines of `cols` characters, with the axis' numbers on the left.
 */
void sv_plot(const float *y, size_t n, uint32_t cols, uint32_t rows, sv_bytes *out);
/* "1.2 GB", ring of 4 per program. */
const char *sv_bytes_words(double bytes);
/* "2:05" or "1:02:05", the same ring. */
const char *sv_time_words(double s);
/* lower case hex of n <= 32 bytes, the same ring. */
const char *sv_hex(const void *p, size_t n);
/* A hash as 16 digits, the same ring. */
const char *sv_hash_words(uint64_t hash);

#endif
