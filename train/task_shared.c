/* SPDX-License-Identifier: Apache-2.0
 * What the built-in tasks share: a vocabulary of 25 tokens, a chat template, a small model, and the form of an answer.
 */
#include <string.h>

#include "train/task_impl.h"

static const char *find_last(sv_str text, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = text.n >= n ? text.n - n + 1 : 0; i-- > 0;)
        if (memcmp(text.p + i, what, n) == 0)
            return text.p + i;
    return NULL;
}

static size_t count_of(sv_str text, const char *what)
{
    size_t n = strlen(what), found = 0;
    for (size_t i = 0; i + n <= text.n; i++)
        found += memcmp(text.p + i, what, n) == 0;
    return found;
}

bool sv_task_answer(sv_str out, bool one_answer, sv_str *answer)
{
    static const char open[] = "</think><answer>", close[] = "</answer>";
    if (out.n > SV_TASK_MAX_OUTPUT)
        return false;
    if (sv_str_ends(out, "<end>"))
        out.n -= strlen("<end>");
    if (!sv_str_ends(out, close))
        return false;
    const char *at = find_last(out, open), *tag = find_last(out, "<answer>");
    if (at == NULL || tag != at + strlen("</think>") || (one_answer && count_of(out, "<answer>") != 1))
        return false;
    const char *first = at + strlen(open), *end = out.p + out.n - strlen(close);
    if (end < first || (one_answer && count_of(out, "</answer>") != 1))
        return false;
    *answer = (sv_str){ first, (size_t)(end - first) };
    return true;
}

bool sv_task_number(sv_str text, uint32_t max_digits, uint64_t *out)
{
    *out = 0;
    if (text.n < 1 || text.n > max_digits || text.n > 18)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        *out = 10 * *out + (uint64_t)(text.p[i] - '0');
    }
    return true;
}

bool sv_task_block(sv_str output, bool ended, bool one_answer, sv_str *text, sv_verdict *v)
{
    *v = ended ? SV_VERDICT_MALFORMED : SV_VERDICT_TRUNCATED;
    return ended && sv_task_answer(output, one_answer, text);
}

sv_str sv_task_bare(sv_str problem)
{
    if (sv_str_ends(problem, ":"))
        problem.n--;
    return problem;
}

bool sv_task_is_held_out(sv_str text)
{
    uint32_t h = 0x811c9dc5u;
    for (size_t i = 0; i < text.n; i++)
        h = (h ^ (uint8_t)text.p[i]) * 0x01000193u;
    return h % 10 == 0;
}

void sv_task_shuffle(uint16_t *item, uint32_t n, uint64_t seed, uint32_t stream, uint32_t step, uint32_t row,
                     uint32_t position)
{
    for (uint32_t k = n; k > 1; k--) {
        uint32_t at = sv_task_draw(sv_philox_at(seed, stream, step, row, position + n - k).w[0], k);
        uint16_t t = item[k - 1];
        item[k - 1] = item[at];
        item[at] = t;
    }
}

/* clang-format off */
#define ADDED(id, text, special) \
    "{\"id\":" #id ",\"content\":\"" text "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false," \
    "\"normalized\":false,\"special\":" special "}"
const char sv_task_tokenizer_json[] =
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["
    ADDED(0, "<pad>", "true") "," ADDED(1, "<end>", "true") "," ADDED(2, "<think>", "false") ","
    ADDED(3, "</think>", "false") "," ADDED(4, "<answer>", "false") "," ADDED(5, "</answer>", "false") "],"
    "\"normalizer\":null,"
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":true},"
    "\"post_processor\":null,"
    "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":true},"
    "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,"
    "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"vocab\":{"
    "\"<pad>\":0,\"<end>\":1,\"<think>\":2,\"</think>\":3,\"<answer>\":4,\"</answer>\":5,"
    "\"0\":6,\"1\":7,\"2\":8,\"3\":9,\"4\":10,\"5\":11,\"6\":12,\"7\":13,\"8\":14,\"9\":15,"
    "\"+\":16,\"-\":17,\"*\":18,\"=\":19,\",\":20,\";\":21,\":\":22,\"!\":23,\"?\":24},\"merges\":[]}}\n";

/* The model knows single problems: of a longer chat the template shows the last question and its answer alone. */
const char sv_task_tokenizer_config[] =
    "{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"eos_token\":\"<end>\",\"pad_token\":\"<pad>\","
    "\"model_max_length\":256,\"clean_up_tokenization_spaces\":false,\"chat_template\":\""
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' and loop.index0 + 2 >= messages|length -%}"
    "{{ message['content'] }}{%- if ':' not in message['content'] -%}:{%- endif -%}<think>"
    "{%- elif message['role'] == 'assistant' and loop.last -%}"
    "{{ message['content'] }}<end>"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt and enable_thinking is defined and not enable_thinking -%}</think>{%- endif -%}"
    "\"}\n";

const char sv_task_config[] =
    "{\"architectures\":[\"Qwen3ForCausalLM\"],\"model_type\":\"qwen3\",\"hidden_size\":96,\"num_hidden_layers\":3,"
    "\"num_attention_heads\":3,\"num_key_value_heads\":3,\"head_dim\":32,\"intermediate_size\":256,\"vocab_size\":25,"
    "\"max_position_embeddings\":256,\"rms_norm_eps\":1e-6,\"rope_theta\":10000.0,\"tie_word_embeddings\":true,"
    "\"attention_bias\":false,\"hidden_act\":\"silu\",\"initializer_range\":0.02,\"torch_dtype\":\"float32\","
    "\"bos_token_id\":null,\"eos_token_id\":1,\"pad_token_id\":0}\n";
/* clang-format on */
