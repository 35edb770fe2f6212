/* SPDX-License-Identifier: Apache-2.0
 * Prometheus text, format 0.0.4.
 */
#include "serve/metric.h"

static const double bound[SV_HISTOGRAM_BUCKETS] = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                    0.5,   1,      2.5,   5,    10,    30,   60,  300 };

void sv_histogram_add(sv_histogram *h, double seconds)
{
    uint32_t i = 0;
    while (i < SV_HISTOGRAM_BUCKETS && seconds > bound[i])
        i++;
    h->n[i]++;
    h->count++;
    h->sum += seconds;
}

static void label(sv_bytes *out, const char *value)
{
    for (const char *p = value; *p; p++) {
        if (*p == '"' || *p == '\\')
            sv_bytes_char(out, '\\');
        sv_bytes_char(out, *p == '\n' ? ' ' : *p);
    }
}

static void head(sv_bytes *out, const char *name, const char *type, const char *help)
{
    sv_bytes_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void line(sv_bytes *out, const char *name, const char *key, const char *model, const char *more, double value)
{
    sv_bytes_printf(out, "%s{%s=\"", name, key);
    label(out, model);
    sv_bytes_printf(out, "\"%s} %.17g\n", more, value);
}

/* One figure under our name and under vLLM's. */
static void both(sv_bytes *out, const char *own, const char *vllm, const char *type, const char *help,
                 const char *model, double value)
{
    head(out, own, type, help);
    line(out, own, "model", model, "", value);
    head(out, vllm, type, help);
    line(out, vllm, "model_name", model, "", value);
}

static void histogram(sv_bytes *out, const char *name, const char *key, const char *help, const char *model,
                      const sv_histogram *h)
{
    uint64_t sum = 0;
    sv_bytes full = { 0 };
    head(out, name, "histogram", help);
    for (uint32_t i = 0; i <= SV_HISTOGRAM_BUCKETS; i++) {
        sv_bytes more = { 0 };
        sum += h->n[i];
        sv_bytes_clear(&full);
        sv_bytes_printf(&full, "%s_bucket", name);
        if (i < SV_HISTOGRAM_BUCKETS)
            sv_bytes_printf(&more, ",le=\"%g\"", bound[i]);
        else
            sv_bytes_text(&more, ",le=\"+Inf\"");
        line(out, full.p, key, model, more.p, (double)sum);
        sv_bytes_done(&more);
    }
    sv_bytes_clear(&full);
    sv_bytes_printf(&full, "%s_sum", name);
    line(out, full.p, key, model, "", h->sum);
    sv_bytes_clear(&full);
    sv_bytes_printf(&full, "%s_count", name);
    line(out, full.p, key, model, "", (double)h->count);
    sv_bytes_done(&full);
}

void sv_metrics_print(const sv_metrics *m, const char *model, const char *version, sv_bytes *out)
{
    both(out, "samsvar_requests_running", "vllm:num_requests_running", "gauge", "Answers being made", model,
         m->running);
    both(out, "samsvar_requests_waiting", "vllm:num_requests_waiting", "gauge", "Answers without a first token", model,
         m->waiting);
    const sv_engine_counts *e = &m->engine;
    both(out, "samsvar_kv_pages_used_ratio", "vllm:kv_cache_usage_perc", "gauge", "Share of the KV pages in use", model,
         e->n_page ? (double)e->n_page_held / e->n_page : 0);
    head(out, "samsvar_kv_pages", "gauge", "KV pages of 32 positions");
    line(out, "samsvar_kv_pages", "model", model, "", e->n_page);
    head(out, "samsvar_kv_pages_used", "gauge", "KV pages that sequences hold");
    line(out, "samsvar_kv_pages_used", "model", model, "", e->n_page_held);
    both(out, "samsvar_prefix_hit_tokens_total", "vllm:prefix_cache_hits_total", "counter",
         "Prompt tokens that were computed before", model, (double)e->n_hit);
    head(out, "samsvar_prefix_miss_tokens_total", "counter", "Prompt tokens that were computed");
    line(out, "samsvar_prefix_miss_tokens_total", "model", model, "", (double)e->n_miss);
    head(out, "vllm:prefix_cache_queries_total", "counter", "Prompt tokens looked up");
    line(out, "vllm:prefix_cache_queries_total", "model_name", model, "", (double)(e->n_hit + e->n_miss));
    both(out, "samsvar_preemptions_total", "vllm:num_preemptions_total", "counter", "Sequences put back in the queue",
         model, (double)e->n_preempted);
    both(out, "samsvar_prompt_tokens_total", "vllm:prompt_tokens_total", "counter", "Tokens of prompts", model,
         (double)m->prompt_tokens);
    both(out, "samsvar_generation_tokens_total", "vllm:generation_tokens_total", "counter", "Tokens drawn", model,
         (double)m->output_tokens);
    head(out, "vllm:request_success_total", "counter", "Answers by their end");
    line(out, "vllm:request_success_total", "model_name", model, ",finished_reason=\"stop\"", (double)m->finished_stop);
    line(out, "vllm:request_success_total", "model_name", model, ",finished_reason=\"length\"",
         (double)m->finished_length);
    line(out, "vllm:request_success_total", "model_name", model, ",finished_reason=\"abort\"",
         (double)m->finished_abort);
    head(out, "samsvar_requests_total", "counter", "Replies by status");
    for (uint32_t i = 2; i < 6; i++) {
        sv_bytes more = { 0 };
        sv_bytes_printf(&more, ",status=\"%uxx\"", i);
        line(out, "samsvar_requests_total", "model", model, more.p, (double)m->status[i]);
        sv_bytes_done(&more);
    }
    histogram(out, "samsvar_first_token_seconds", "model", "From the request to its first token", model,
              &m->first_token);
    histogram(out, "vllm:time_to_first_token_seconds", "model_name", "From the request to its first token", model,
              &m->first_token);
    histogram(out, "samsvar_inter_token_seconds", "model", "Between two tokens of an answer", model, &m->inter_token);
    histogram(out, "vllm:inter_token_latency_seconds", "model_name", "Between two tokens of an answer", model,
              &m->inter_token);
    histogram(out, "samsvar_e2e_seconds", "model", "From the request to its end", model, &m->whole);
    histogram(out, "vllm:e2e_request_latency_seconds", "model_name", "From the request to its end", model, &m->whole);
    head(out, "samsvar_build_info", "gauge", "Version");
    line(out, "samsvar_build_info", "version", version, "", 1);
}
