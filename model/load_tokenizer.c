/* SPDX-License-Identifier: Apache-2.0
 * A tokenizer is made on a thread of its own while the weights are read and checked: it takes a tenth of a second and
 * one core.
 */
#include <stdio.h>

#include "model/load_impl.h"

static void make(void *arg)
{
    sv_tokenizer_job *j = arg;
    if (j->json.p)
        j->err = sv_tokenizer_from_json(j->json, j->json_name, &j->made);
    else
        j->err = sv_tokenizer_from_parts(&j->parts, j->name, &j->made);
    if (j->err == SV_OK && j->json.p && j->has_parts)
        j->err = sv_tokenizer_agrees(j->made, &j->parts);
    if (j->err != SV_OK) /* the sentence belongs to this thread */
        snprintf(j->text, sizeof j->text, "%s", sv_err_text());
}

void sv_tokenizer_job_start(sv_tokenizer_job *j)
{
    j->started = true;
    if (sv_thread_start("sv-tokenizer", make, j, &j->thread) != SV_OK)
        make(j);
}

static void drop_tokenizer(void *t)
{
    sv_tokenizer_drop(t);
}

sv_err sv_tokenizer_job_end(sv_tokenizer_job *j, sv_model_own *o)
{
    sv_thread_join(j->thread);
    j->thread = NULL;
    sv_arena_drop(j->arena);
    j->arena = NULL;
    if (!j->started)
        return SV_OK;
    if (j->made)
        sv_arena_defer(o->m.arena, drop_tokenizer, j->made);
    if (j->err != SV_OK)
        return sv_fail(j->err, "%s", j->text);
    o->m.tokenizer = j->made;
    return sv_model_check_vocab(o, j->name);
}
