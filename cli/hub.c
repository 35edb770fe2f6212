/* SPDX-License-Identifier: Apache-2.0
 * Names and places of the hub's cache.
 */
#include "cli/hub.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"

bool sv_hub_is_name(const char *text)
{
    return strncmp(text, "hf:", 3) == 0;
}

static bool is_word(const char *text, const char *more)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", text[i]) == NULL &&
            strchr(more, text[i]) == NULL)
            return false;
    return n > 0 && n <= 256 && strstr(text, "..") == NULL && text[0] != '/' && text[0] != '.' && text[n - 1] != '/';
}

sv_err sv_hub_parse(const char *text, sv_arena *a, sv_hub_name *out)
{
    char *name = sv_arena_text(a, text + (sv_hub_is_name(text) ? 3 : 0));
    char *file = strchr(name, ':');
    if (file != NULL)
        *file++ = '\0';
    char *rev = strchr(name, '@');
    if (rev != NULL)
        *rev++ = '\0';
    const char *slash = strchr(name, '/');
    if (!is_word(name, "/") || slash == NULL || strchr(slash + 1, '/') != NULL || (rev != NULL && !is_word(rev, "/")) ||
        (file != NULL && !is_word(file, "/ ")))
        return sv_fail(SV_E_ARG, "%s is no name of a model; allowed: hf:OWNER/NAME, with @REVISION and :FILE behind it",
                       sv_str_quote(sv_str_of(text)));
    *out = (sv_hub_name){ name, rev ? rev : "main", file };
    return SV_OK;
}

sv_err sv_hub_folder(const sv_hub_name *n, sv_arena *a, const char **out)
{
    const char *cache = getenv("HF_HUB_CACHE"), *home = getenv("HF_HOME"), *user = getenv("HOME");
    if (cache == NULL || cache[0] == '\0') {
        if (home != NULL && home[0] != '\0')
            cache = sv_path_join(a, home, "hub");
        else if (user != NULL && user[0] != '\0')
            cache = sv_path_join(a, user, ".cache/huggingface/hub");
        else
            return sv_fail(SV_E_ARG, "there is no place for the cache; set HF_HOME or HOME");
    }
    const char *slash = strchr(n->repo, '/');
    *out = sv_arena_printf(a, "%s/models--%.*s--%s", cache, (int)(slash - n->repo), n->repo, slash + 1);
    return SV_OK;
}

static bool is_commit(const char *text)
{
    return strlen(text) == 40 && strspn(text, "0123456789abcdef") == 40;
}

sv_err sv_hub_find(const char *text, sv_arena *a, const char **out)
{
    sv_hub_name n;
    const char *folder;
    sv_str ref;
    SV_TRY(sv_hub_parse(text, a, &n));
    SV_TRY(sv_hub_folder(&n, a, &folder));
    const char *commit = n.rev;
    if (!is_commit(commit) && sv_file_read(sv_arena_printf(a, "%s/refs/%s", folder, n.rev), 256, a, &ref) == SV_OK)
        commit = sv_arena_textn(a, ref.p, strcspn(ref.p, "\r\n "));
    const char *path = is_commit(commit) ? sv_arena_printf(a, "%s/snapshots/%s", folder, commit) : NULL;
    if (path != NULL && n.file != NULL)
        path = sv_path_join(a, path, n.file);
    if (path == NULL || !sv_file_exists(path))
        return sv_fail(SV_E_NOTFOUND, "%s is not in the cache; fetch it: samsvar pull %s", text, text);
    *out = path;
    return SV_OK;
}
