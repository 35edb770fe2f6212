/* SPDX-License-Identifier: Apache-2.0
 * A hash map from bytes to uint32_t. Keys are copied. Threads: one at a time; reads alone may be concurrent.
 */
#ifndef SV_BASE_MAP_H
#define SV_BASE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

typedef struct sv_map sv_map;
sv_map *sv_map_make(size_t expected);
void sv_map_drop(sv_map *m);                                 /* NULL is fine */
bool sv_map_put(sv_map *m, sv_str key, uint32_t value);      /* false: the key exists, nothing changed */
bool sv_map_get(const sv_map *m, sv_str key, uint32_t *out); /* out may be NULL */
size_t sv_map_count(const sv_map *m);

#endif
