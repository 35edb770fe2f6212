/* SPDX-License-Identifier: Apache-2.0
 * The chat page's texts, embedded by tools/embed.sh.
 */
#include <string.h>

#include "serve/serve_impl.h"
#include "serve_page.inc"

const char *sv_page(const char *path, const char **type, size_t *n)
{
    static const struct {
        const char *path, *type, *text;
        size_t n;
    } file[] = {
        { "/", "text/html; charset=utf-8", embed_page_html, sizeof embed_page_html - 1 },
        { "/page.css", "text/css; charset=utf-8", embed_page_css, sizeof embed_page_css - 1 },
        { "/page.js", "text/javascript; charset=utf-8", embed_page_js, sizeof embed_page_js - 1 },
    };
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        if (strcmp(file[i].path, path) != 0)
            continue;
        *type = file[i].type;
        *n = file[i].n;
        return file[i].text;
    }
    return NULL;
}
