/* SPDX-License-Identifier: Apache-2.0
 * chain100: six digits 1-9 joined by five operators from + - *, worked left to right, each result modulo 100.
 * 129,140,163 problems; a problem is held out when FNV-1a-32 of its text is a multiple of 10.
 * A small model cannot answer directly, so it has a reason to think.
 */
#include <string.h>

#include "num/philox.h"
#include "train/task.h"

#define N_DIGIT 6
#define N_TEXT (2 * N_DIGIT - 1)

/* FNV-1a, 32 bits (Fowler, Noll, Vo). */
static uint32_t fnv32(const char *text, size_t n)
{
    uint32_t h = 0x811c9dc5u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)text[i]) * 0x01000193u;
    return h;
}

static uint32_t draw(uint32_t word, uint32_t n)
{
    return (uint32_t)(((uint64_t)word * n) >> 32);
}

/* One of all problems, uniform. Positions 3 attempt ... 3 attempt + 2 of (seed, task, split, i). */
static void any_problem(uint64_t seed, uint32_t split, uint32_t i, uint32_t attempt, char text[N_TEXT])
{
    sv_philox w[3];
    for (uint32_t k = 0; k < 3; k++)
        w[k] = sv_philox_at(seed, SV_STREAM_TASK, split, i, 3 * attempt + k);
    for (uint32_t k = 0; k < N_TEXT; k++) {
        uint32_t word = w[k / 4].w[k % 4];
        text[k] = k % 2 == 0 ? (char)('1' + draw(word, 9)) : "+-*"[draw(word, 3)];
    }
}

static void find_problem(uint64_t seed, sv_split split, uint32_t i, char text[N_TEXT])
{
    for (uint32_t attempt = 0;; attempt++) {
        any_problem(seed, (uint32_t)split, i, attempt, text);
        if ((fnv32(text, N_TEXT) % 10 == 0) == (split == SV_SPLIT_TEST))
            return;
    }
}

static void problem(uint64_t seed, sv_split split, uint32_t i, sv_bytes *out)
{
    char text[N_TEXT];
    find_problem(seed, split, i, text);
    sv_bytes_add(out, text, N_TEXT);
    sv_bytes_char(out, ':');
}

static int apply(int x, char op, int d)
{
    int y = op == '+' ? x + d : op == '-' ? x - d : x * d;
    return (y % 100 + 100) % 100;
}

/* Works a problem of valid form; steps may be NULL. */
static int work(const char *text, sv_bytes *steps)
{
    int x = text[0] - '0';
    for (size_t k = 1; k < N_TEXT; k += 2) {
        int y = apply(x, text[k], text[k + 1] - '0');
        if (steps != NULL)
            sv_bytes_printf(steps, "%d%c%c=%d%c", x, text[k], text[k + 1], y, k + 2 < N_TEXT ? ',' : ';');
        x = y;
    }
    return x;
}

static bool is_problem(sv_str p)
{
    if (p.n == N_TEXT + 1 && p.p[N_TEXT] == ':')
        p.n--;
    if (p.n != N_TEXT)
        return false;
    for (size_t k = 0; k < N_TEXT; k++)
        if (k % 2 == 0 ? p.p[k] < '1' || p.p[k] > '9' : p.p[k] == '\0' || strchr("+-*", p.p[k]) == NULL)
            return false;
    return true;
}

static bool solve(sv_str text, sv_bytes *completion, sv_bytes *answer)
{
    if (!is_problem(text))
        return false;
    int x = work(text.p, completion);
    if (completion != NULL)
        sv_bytes_printf(completion, "</think><answer>%d</answer>", x);
    if (answer != NULL)
        sv_bytes_printf(answer, "%d", x);
    return true;
}

static void row(uint64_t seed, uint32_t step, uint32_t r, double worked, sv_bytes *message, sv_bytes *completion)
{
    sv_philox w = sv_philox_at(seed, SV_STREAM_PROMPT, step, r, 0);
    char text[N_TEXT];
    find_problem(seed, SV_SPLIT_TRAIN, draw(w.w[0], sv_task_chain100.n_train), text);
    sv_bytes_add(message, text, N_TEXT);
    sv_bytes_char(message, ':');
    if ((double)sv_philox_uniform(w.w[1]) < worked)
        solve((sv_str){ text, N_TEXT }, completion, NULL);
    else
        sv_bytes_printf(completion, "</think><answer>%d</answer>", work(text, NULL));
}

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

/* 1 to 4 digits between the tags of the last answer block; -1: not well-formed. */
static int answer_of(sv_str out, bool one_answer)
{
    static const char open[] = "</think><answer>", close[] = "</answer>";
    if (!sv_str_ends(out, close))
        return -1;
    const char *at = find_last(out, open), *tag = find_last(out, "<answer>");
    if (at == NULL || tag != at + strlen("</think>") || (one_answer && count_of(out, "<answer>") != 1))
        return -1;
    const char *digit = at + strlen(open), *end = out.p + out.n - strlen(close);
    if (end - digit < 1 || end - digit > 4)
        return -1;
    int x = 0;
    for (; digit < end; digit++) {
        if (*digit < '0' || *digit > '9')
            return -1;
        x = 10 * x + (*digit - '0');
    }
    return x;
}

static sv_verdict verify(sv_str text, sv_str output, bool ended, bool one_answer)
{
    if (!is_problem(text))
        return SV_VERDICT_UNSUPPORTED;
    if (output.n > 65536)
        return SV_VERDICT_MALFORMED;
    if (!ended)
        return SV_VERDICT_TRUNCATED;
    if (sv_str_ends(output, "<end>"))
        output.n -= strlen("<end>");
    int x = answer_of(output, one_answer);
    if (x < 0)
        return SV_VERDICT_MALFORMED;
    return x == work(text.p, NULL) ? SV_VERDICT_CORRECT : SV_VERDICT_WELL_FORMED;
}

/* clang-format off */
#define ADDED(id, text, special) \
    "{\"id\":" #id ",\"content\":\"" text "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false," \
    "\"normalized\":false,\"special\":" special "}"
static const char tokenizer_json[] =
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
static const char tokenizer_config[] =
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

static const char config[] =
    "{\"architectures\":[\"Qwen3ForCausalLM\"],\"model_type\":\"qwen3\",\"hidden_size\":96,\"num_hidden_layers\":3,"
    "\"num_attention_heads\":3,\"num_key_value_heads\":3,\"head_dim\":32,\"intermediate_size\":256,\"vocab_size\":25,"
    "\"max_position_embeddings\":256,\"rms_norm_eps\":1e-6,\"rope_theta\":10000.0,\"tie_word_embeddings\":true,"
    "\"attention_bias\":false,\"hidden_act\":\"silu\",\"initializer_range\":0.02,\"torch_dtype\":\"float32\","
    "\"bos_token_id\":null,\"eos_token_id\":1,\"pad_token_id\":0}\n";
/* clang-format on */

const sv_task sv_task_chain100 = {
    .name = "chain100",
    .n_train = 60000,
    .n_test = 300,
    .problem = problem,
    .row = row,
    .solve = solve,
    .verify = verify,
    .n_force = 1,
    .tokenizer_json = tokenizer_json,
    .tokenizer_config = tokenizer_config,
    .config = config,
};
