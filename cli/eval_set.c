/* SPDX-License-Identifier: Apache-2.0
 * Problems of an evaluation: their texts, prompts and judge.
 */
#include "cli/eval.h"

#include <string.h>

#include "base/sha.h"

static void hash_set(sv_eval_set *set)
{
    sv_sha *sha = sv_sha_make();
    sv_bytes text = { 0 };
    for (uint32_t i = 0; i < set->n; i++) {
        sv_bytes_clear(&text);
        sv_eval_set_text(set, i, &text);
        sv_bytes_char(&text, '\n');
        sv_sha_add(sha, text.p, text.n);
    }
    sv_sha_end(sha, set->hash);
    sv_bytes_done(&text);
}

void sv_eval_set_task(const sv_task *task, uint64_t seed, uint32_t n, sv_eval_set *out)
{
    *out = (sv_eval_set){
        .name = task->name, .n = n == 0 || n > task->n_test ? task->n_test : n, .task = task, .task_seed = seed
    };
    hash_set(out);
}

sv_err sv_eval_set_file(const char *path, const sv_verifier *verifier, uint64_t n, const char *system, sv_eval_set *out)
{
    *out = (sv_eval_set){ .system = system };
    SV_TRY(sv_problems_open(path, verifier, n, true, &out->file));
    if (out->file->n > 1000000) {
        size_t n_row = out->file->n;
        sv_eval_set_close(out);
        return sv_fail(SV_E_LIMIT, "%s: %zu problems, at most 1,000,000; give --problems N", path, n_row);
    }
    out->name = out->file->name;
    out->n = (uint32_t)out->file->n;
    memcpy(out->hash, out->file->hash, sizeof out->hash);
    return SV_OK;
}

void sv_eval_set_close(sv_eval_set *set)
{
    sv_problems_close(set->file);
    set->file = NULL;
    set->n = 0;
}

void sv_eval_set_text(const sv_eval_set *set, uint32_t i, sv_bytes *out)
{
    if (set->task != NULL) {
        set->task->problem(set->task_seed, SV_SPLIT_TEST, i, out);
        return;
    }
    sv_str text = sv_problem_text(&set->file->item[i]);
    sv_bytes_add(out, text.p, text.n);
}

bool sv_eval_set_can_force(const sv_eval_set *set)
{
    return set->task != NULL && set->task->n_force > 0;
}

sv_err sv_eval_prompt(const sv_model *m, const sv_task *task, sv_str problem, bool forced, sv_ids *out)
{
    json_t *messages = json_array();
    json_array_append_new(messages, sv_message("user", problem));
    sv_err err = sv_chat_ids(m, messages, false, out);
    json_decref(messages);
    SV_TRY(err);
    return forced ? sv_tokenizer_encode_plain(m->tokenizer, (sv_str){ problem.p, task->n_force }, false, out) : SV_OK;
}

/* By the chat template; without one the text of a single message as it is. */
static sv_err file_prompt(const sv_eval_set *set, const sv_model *m, const sv_problem *p, sv_ids *out)
{
    if (m->chat_template == NULL && json_array_size(p->messages) == 1 && set->system == NULL)
        return sv_raw_ids(m, sv_problem_text(p), out);
    json_t *messages = json_copy(p->messages);
    if (set->system != NULL)
        json_array_insert_new(messages, 0, sv_message("system", sv_str_of(set->system)));
    sv_err err = sv_chat_ids(m, messages, false, out);
    json_decref(messages);
    return err == SV_OK ? SV_OK : sv_fail_in(err, "%s:%llu: ", set->name, (unsigned long long)p->line);
}

sv_err sv_eval_set_prompt(const sv_eval_set *set, const sv_model *m, uint32_t i, bool forced, sv_ids *out)
{
    sv_bytes text = { 0 };
    if (set->task == NULL)
        return file_prompt(set, m, &set->file->item[i], out);
    sv_eval_set_text(set, i, &text);
    sv_err err = sv_eval_prompt(m, set->task, (sv_str){ text.p, text.n }, forced, out);
    sv_bytes_done(&text);
    return err;
}

static sv_eval_verdict judge_file(const sv_problem *p, sv_str output, bool ended, bool in_thought, sv_bytes *answer)
{
    sv_eval_verdict v = { 0 };
    v.strict = sv_verify(p->verifier, &p->gold, output, ended, in_thought, SV_EXTRACT_STRICT, answer);
    v.flexible = sv_verify(p->verifier, &p->gold, output, ended, in_thought, SV_EXTRACT_FLEXIBLE, NULL);
    v.has_answer = v.strict == SV_VERDICT_CORRECT || v.strict == SV_VERDICT_WELL_FORMED;
    return v;
}

sv_eval_verdict sv_eval_set_judge(const sv_eval_set *set, uint32_t i, sv_str output, bool ended, bool in_thought,
                                  sv_bytes *answer)
{
    sv_bytes problem = { 0 };
    sv_eval_verdict v = { 0 };
    if (set->task == NULL)
        return judge_file(&set->file->item[i], output, ended, in_thought, answer);
    sv_eval_set_text(set, i, &problem);
    sv_str p = { problem.p, problem.n };
    v.strict = v.flexible = set->task->verify(p, output, ended, false);
    v.has_answer =
        (v.strict == SV_VERDICT_CORRECT || v.strict == SV_VERDICT_WELL_FORMED) && set->task->answer(p, output, answer);
    sv_bytes_done(&problem);
    return v;
}
