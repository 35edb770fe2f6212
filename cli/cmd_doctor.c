/* SPDX-License-Identifier: Apache-2.0
 * samsvar doctor: what this machine gives samsvar, in a form that may be pasted into a report: no host name, no user
 * name, no value of a key.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/thread.h"
#include "chip/registry.h"
#include "cli/cmd.h"

typedef struct report {
    json_t *o; /* facts by name */
    sv_arena *arena;
    bool json;
    uint32_t n_fault;
} report;

/* A fact; fault: what is wrong with it and what to do, or NULL. */
static void fact(report *r, const char *name, const char *text, const char *fault)
{
    json_t *o = json_pack("{s:s, s:s?}", "value", text, "fault", fault);
    json_object_set_new(r->o, name, o);
    r->n_fault += fault != NULL;
    if (!r->json)
        sv_out("%-4s %-18s %s%s%s\n", fault ? "BAD" : "ok", name, text, fault ? " - " : "", fault ? fault : "");
}

static void program(report *r)
{
    struct utsname u;
    uname(&u);
    fact(r, "samsvar", sv_arena_printf(r->arena, "%s, opset %d, chip ABI %d", SV_VERSION, SV_OPSET, SV_CHIP_ABI), NULL);
    fact(r, "built with",
#ifdef __clang__
         "clang " __clang_version__,
#else
         "gcc " __VERSION__,
#endif
         NULL);
    fact(r, "system", sv_arena_printf(r->arena, "%s %s %s", u.sysname, u.release, u.machine), NULL);
    fact(r, "cores", sv_arena_printf(r->arena, "%u", sv_thread_cores()), NULL);
}

static void chips(report *r)
{
    const sv_chip_entry *e;
    size_t n;
    sv_chip_dev d;
    if (sv_chips_list(&e, &n) == SV_OK)
        for (size_t i = 0; i < n; i++)
            if (e[i].chip == NULL || e[i].why != NULL || strcmp(e[i].name, "null") != 0)
                fact(r, sv_arena_printf(r->arena, "chip %s", e[i].name),
                     sv_arena_printf(r->arena, "%s, %u device%s%s%s", e[i].path[0] ? "plug-in" : "built in",
                                     e[i].n_device, e[i].n_device == 1 ? "" : "s", e[i].why ? ", not usable: " : "",
                                     e[i].why ? e[i].why : ""),
                     NULL); /* a plug-in without its device is no fault of the machine */
    if (sv_chip_open(NULL, NULL, &d) != SV_OK) {
        fact(r, "default chip", "none", sv_err_text());
        return;
    }
    fact(r, "default chip",
         sv_arena_printf(r->arena, "%s (%s), %u threads, %s", d.spec, d.info.name, d.info.n_thread,
                         d.info.is_exact ? "exact" : "not exact"),
         d.info.is_exact ? NULL : "its answers may differ from other chips'; take --chip cpu");
    sv_chip_close(&d);
}

/* A number of KiB behind a name of /proc/meminfo; 0: not there. */
static double memory_of(report *r, const char *name)
{
    sv_str text;
    if (sv_file_read("/proc/meminfo", 65536, r->arena, &text) != SV_OK)
        return 0;
    const char *at = strstr(text.p, name);
    return at ? strtod(at + strlen(name), NULL) * 1024 : 0;
}

static void memory(report *r)
{
    double all = memory_of(r, "MemTotal:"), have = memory_of(r, "MemAvailable:");
    struct rlimit lim;
    sv_str huge;
    fact(r, "memory", sv_arena_printf(r->arena, "%s, %s available", sv_bytes_words(all), sv_bytes_words(have)),
         have > 0 && have < 256e6 ? "too little for any model; stop other programs" : NULL);
    if (sv_file_read("/sys/kernel/mm/transparent_hugepage/enabled", 256, r->arena, &huge) == SV_OK)
        fact(r, "huge pages", sv_arena_textn(r->arena, huge.p, strcspn(huge.p, "\n")), NULL);
    getrlimit(RLIMIT_NOFILE, &lim);
    fact(r, "open files", sv_arena_printf(r->arena, "%llu", (unsigned long long)lim.rlim_cur),
         lim.rlim_cur < 1024 ? "too few for a server; ulimit -n 65536" : NULL);
}

static void folder(report *r)
{
    char *dir;
    struct statvfs st;
    if (sv_file_cache_dir(r->arena, &dir) != SV_OK) {
        fact(r, "cache folder", "none", sv_err_text());
        return;
    }
    bool can_write = access(dir, W_OK) == 0;
    double room = statvfs(dir, &st) == 0 ? (double)st.f_bavail * (double)st.f_frsize : 0;
    fact(r, "cache folder", sv_arena_printf(r->arena, "%s free", sv_bytes_words(room)),
         !can_write   ? "it cannot be written; set XDG_CACHE_HOME"
         : room < 1e8 ? "the disk is nearly full"
                      : NULL);
}

static void environment(report *r)
{
    static const char *const name[] = { "HF_TOKEN",         "HF_HOME",     "HF_HUB_CACHE",       "HF_ENDPOINT",
                                        "HF_HUB_OFFLINE",   "https_proxy", "SAMSVAR_PLUGIN_DIR", "SAMSVAR_CHIP",
                                        "SAMSVAR_API_KEYS", "NO_COLOR" };
    sv_bytes set = { 0 };
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (getenv(name[i]) != NULL)
            sv_bytes_printf(&set, set.n ? ", %s" : "%s", name[i]);
    fact(r, "set variables", set.n ? set.p : "none", NULL);
    sv_bytes_done(&set);
}

sv_err sv_cmd_doctor(const sv_args *a)
{
    report r = { json_object(), sv_arena_make(), sv_arg_on(a, SV_FLAG_JSON), 0 };
    program(&r);
    chips(&r);
    memory(&r);
    folder(&r);
    environment(&r);
    if (r.json)
        sv_out_json_pretty(json_pack("{s:i, s:O, s:I}", "v", 1, "facts", r.o, "faults", (json_int_t)r.n_fault));
    json_decref(r.o);
    sv_arena_drop(r.arena);
    return r.n_fault == 0 ? SV_OK
                          : sv_fail(SV_E_CHIP, "%u of the facts above %s in the way", r.n_fault,
                                    r.n_fault == 1 ? "stands" : "stand");
}
