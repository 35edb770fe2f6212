/* SPDX-License-Identifier: Apache-2.0
 * Release criteria: a YAML or JSON file of figures with the least or most that they may be.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/eval.h"
#include "train/recipe.h"

typedef struct gate {
    const sv_eval_result *r;
    const char *file;
    sv_bytes missed; /* sentences of the missed ones */
    uint32_t n, n_missed;
    bool json;
} gate;

typedef enum relation { AT_LEAST, ABOVE, AT_MOST, BELOW } relation;
static const char *const sign[] = { ">=", ">", "<=", "<" };

/* ">= 0.9", "<5%": false when it is none. */
static bool read_criterion(sv_str text, relation *how, double *bound)
{
    for (int k = 0; k < 4; k++) {
        if (!sv_str_starts(text, sign[k]))
            continue;
        *how = (relation)k;
        text = (sv_str){ text.p + strlen(sign[k]), text.n - strlen(sign[k]) };
        while (text.n > 0 && text.p[0] == ' ')
            text.p++, text.n--;
        bool percent = sv_str_ends(text, "%");
        if (percent)
            text.n--;
        while (percent && text.n > 0 && text.p[text.n - 1] == ' ')
            text.n--;
        if (!sv_str_f64(text, bound))
            return false;
        *bound /= percent ? 100 : 1;
        return true;
    }
    return false;
}

/* "mean@8", or "mean@8.low" and "mean@8.high" for the ends of the interval. */
static sv_err figure_value(const gate *g, const char *key, uint32_t line, double *value)
{
    char name[64] = "";
    const char *dot = strrchr(key, '.'), *names[64];
    size_t n = dot && (strcmp(dot, ".low") == 0 || strcmp(dot, ".high") == 0 || strcmp(dot, ".value") == 0)
                   ? (size_t)(dot - key)
                   : strlen(key);
    if (n < sizeof name)
        memcpy(name, key, n);
    const sv_eval_figure *f = sv_eval_figure_of(g->r, name);
    if (f != NULL) {
        *value = key[n] == '\0' || key[n + 1] == 'v' ? f->at.value : key[n + 1] == 'l' ? f->at.low : f->at.high;
        return SV_OK;
    }
    uint32_t n_name = g->r->n_figure < 64 ? g->r->n_figure : 64;
    for (uint32_t i = 0; i < n_name; i++)
        names[i] = g->r->figure[i].name;
    const char *near = sv_str_nearest(name, names, n_name);
    return sv_fail(SV_E_ARG, "%s:%u: this evaluation has no figure '%s'%s%s%s; --json lists them", g->file, line, key,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
}

static sv_err take(void *arg, const char *key, sv_str text, uint32_t line)
{
    gate *g = arg;
    relation how;
    double bound, value;
    if (!read_criterion(text, &how, &bound))
        return sv_fail(SV_E_ARG, "%s:%u: %s: found '%s'; a criterion is such as \">= 0.9\" (>=, >, <=, <; 90%% is 0.9)",
                       g->file, line, key, sv_str_quote(text));
    SV_TRY(figure_value(g, key, line, &value));
    bool met = how == AT_LEAST  ? value >= bound
               : how == ABOVE   ? value > bound
               : how == AT_MOST ? value <= bound
                                : value < bound;
    g->n++;
    if (g->json)
        sv_out_json(json_pack("{s:s, s:s, s:f, s:s, s:f, s:b}", "event", "gate", "figure", key, "value", value, "must",
                              sign[how], "bound", bound, "met", met));
    else
        sv_out("  %s  %s %.6g %s %.6g\n", met ? "met   " : "MISSED", key, value, sign[how], bound);
    if (met)
        return SV_OK;
    sv_bytes_printf(&g->missed, "%s%s is %.6g, must be %s %.6g", g->n_missed ? "; " : "", key, value, sign[how], bound);
    g->n_missed++;
    return SV_OK;
}

sv_err sv_eval_gate(const sv_eval_result *r, const char *path, bool json)
{
    gate g = { .r = r, .file = path, .json = json };
    sv_arena *arena = sv_arena_make();
    sv_str text;
    sv_err err = sv_file_read(path, 1 << 20, arena, &text);
    if (err == SV_OK)
        err = sv_yaml_walk(text, path, take, &g);
    if (err == SV_OK && g.n == 0)
        err = sv_fail(SV_E_ARG, "%s: no criterion; write lines such as mean@8: \">= 0.9\"", path);
    if (err == SV_OK && g.n_missed > 0)
        err = sv_fail(SV_E_GATE, "%s: %u of %u criteria missed: %s", path, g.n_missed, g.n, g.missed.p);
    sv_bytes_done(&g.missed);
    sv_arena_drop(arena);
    return err;
}
