/* SPDX-License-Identifier: Apache-2.0
 * Problems of an evaluation: their texts, prompts and judge.
 */
#include "base/sha.h"
#include "cli/eval.h"

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

void sv_eval_set_close(sv_eval_set *set)
{
    set->n = 0;
}

void sv_eval_set_text(const sv_eval_set *set, uint32_t i, sv_bytes *out)
{
    set->task->problem(set->task_seed, SV_SPLIT_TEST, i, out);
}

bool sv_eval_set_can_force(const sv_eval_set *set)
{
    return set->task->n_force > 0;
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

sv_err sv_eval_set_prompt(const sv_eval_set *set, const sv_model *m, uint32_t i, bool forced, sv_ids *out)
{
    sv_bytes text = { 0 };
    sv_eval_set_text(set, i, &text);
    sv_err err = sv_eval_prompt(m, set->task, (sv_str){ text.p, text.n }, forced, out);
    sv_bytes_done(&text);
    return err;
}

sv_eval_verdict sv_eval_set_judge(const sv_eval_set *set, uint32_t i, sv_str output, bool ended, sv_bytes *answer)
{
    sv_bytes problem = { 0 };
    sv_eval_verdict v = { 0 };
    sv_eval_set_text(set, i, &problem);
    sv_str p = { problem.p, problem.n };
    v.strict = v.flexible = set->task->verify(p, output, ended, false);
    v.has_answer =
        (v.strict == SV_VERDICT_CORRECT || v.strict == SV_VERDICT_WELL_FORMED) && set->task->answer(p, output, answer);
    sv_bytes_done(&problem);
    return v;
}
