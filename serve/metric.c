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

typedef struct list {
    sv_bytes *out;
    const sv_metrics *m;
    const char *const *model;
    uint32_t n;
} list;

static void figure(const list *l, const char *name, const char *key, const char *type, const char *help,
                   double (*value)(const sv_metrics *))
{
    if (name == NULL)
        return;
    head(l->out, name, type, help);
    for (uint32_t i = 0; i < l->n; i++)
        line(l->out, name, key, l->model[i], "", value(&l->m[i]));
}

/* One figure of each model under our name and under vLLM's; NULL: it has none. */
static void both(const list *l, const char *own, const char *vllm, const char *type, const char *help,
                 double (*value)(const sv_metrics *))
{
    figure(l, own, "model", type, help, value);
    figure(l, vllm, "model_name", type, help, value);
}

static void one_histogram(sv_bytes *out, const char *name, const char *key, const char *model, const sv_histogram *h)
{
    uint64_t sum = 0;
    sv_bytes full = { 0 };
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

static void histogram(const list *l, const char *own, const char *vllm, const char *help,
                      const sv_histogram *(*of)(const sv_metrics *))
{
    head(l->out, own, "histogram", help);
    for (uint32_t i = 0; i < l->n; i++)
        one_histogram(l->out, own, "model", l->model[i], of(&l->m[i]));
    head(l->out, vllm, "histogram", help);
    for (uint32_t i = 0; i < l->n; i++)
        one_histogram(l->out, vllm, "model_name", l->model[i], of(&l->m[i]));
}

static double running(const sv_metrics *m)
{
    return m->running;
}
static double waiting(const sv_metrics *m)
{
    return m->waiting;
}
static double pages_share(const sv_metrics *m)
{
    return m->engine.n_page ? (double)m->engine.n_page_held / m->engine.n_page : 0;
}
static double pages(const sv_metrics *m)
{
    return m->engine.n_page;
}
static double pages_used(const sv_metrics *m)
{
    return m->engine.n_page_held;
}
static double hits(const sv_metrics *m)
{
    return (double)m->engine.n_hit;
}
static double misses(const sv_metrics *m)
{
    return (double)m->engine.n_miss;
}
static double queries(const sv_metrics *m)
{
    return hits(m) + misses(m);
}
static double preemptions(const sv_metrics *m)
{
    return (double)m->engine.n_preempted;
}
static double prompt(const sv_metrics *m)
{
    return (double)m->prompt_tokens;
}
static double drawn(const sv_metrics *m)
{
    return (double)m->output_tokens;
}
static const sv_histogram *first_token(const sv_metrics *m)
{
    return &m->first_token;
}
static const sv_histogram *inter_token(const sv_metrics *m)
{
    return &m->inter_token;
}
static const sv_histogram *whole(const sv_metrics *m)
{
    return &m->whole;
}

static void put_ends(const list *l)
{
    static const char name[] = "vllm:request_success_total";
    head(l->out, name, "counter", "Answers by their end");
    for (uint32_t i = 0; i < l->n; i++) {
        const sv_metrics *m = &l->m[i];
        line(l->out, name, "model_name", l->model[i], ",finished_reason=\"stop\"", (double)m->finished_stop);
        line(l->out, name, "model_name", l->model[i], ",finished_reason=\"length\"", (double)m->finished_length);
        line(l->out, name, "model_name", l->model[i], ",finished_reason=\"abort\"", (double)m->finished_abort);
    }
}

void sv_metrics_print(const sv_metrics *m, const char *const *model, uint32_t n, const uint64_t status[6],
                      const char *version, sv_bytes *out)
{
    const list l = { out, m, model, n };
    both(&l, "samsvar_requests_running", "vllm:num_requests_running", "gauge", "Answers being made", running);
    both(&l, "samsvar_requests_waiting", "vllm:num_requests_waiting", "gauge", "Answers without a first token",
         waiting);
    both(&l, "samsvar_kv_pages_used_ratio", "vllm:kv_cache_usage_perc", "gauge", "Share of the KV pages in use",
         pages_share);
    both(&l, "samsvar_kv_pages", NULL, "gauge", "KV pages of 32 positions", pages);
    both(&l, "samsvar_kv_pages_used", NULL, "gauge", "KV pages that sequences hold", pages_used);
    both(&l, "samsvar_prefix_hit_tokens_total", "vllm:prefix_cache_hits_total", "counter",
         "Prompt tokens that were computed before", hits);
    both(&l, "samsvar_prefix_miss_tokens_total", NULL, "counter", "Prompt tokens that were computed", misses);
    both(&l, NULL, "vllm:prefix_cache_queries_total", "counter", "Prompt tokens looked up", queries);
    both(&l, "samsvar_preemptions_total", "vllm:num_preemptions_total", "counter", "Sequences put back in the queue",
         preemptions);
    both(&l, "samsvar_prompt_tokens_total", "vllm:prompt_tokens_total", "counter", "Tokens of prompts", prompt);
    both(&l, "samsvar_generation_tokens_total", "vllm:generation_tokens_total", "counter", "Tokens drawn", drawn);
    put_ends(&l);
    head(out, "samsvar_requests_total", "counter", "Replies by status");
    for (uint32_t i = 2; i < 6; i++)
        sv_bytes_printf(out, "samsvar_requests_total{status=\"%uxx\"} %llu\n", i,
                        (unsigned long long)__atomic_load_n(&status[i], __ATOMIC_RELAXED));
    histogram(&l, "samsvar_first_token_seconds", "vllm:time_to_first_token_seconds",
              "From the request to its first token", first_token);
    histogram(&l, "samsvar_inter_token_seconds", "vllm:inter_token_latency_seconds", "Between two tokens of an answer",
              inter_token);
    histogram(&l, "samsvar_e2e_seconds", "vllm:e2e_request_latency_seconds", "From the request to its end", whole);
    head(out, "samsvar_build_info", "gauge", "Version");
    line(out, "samsvar_build_info", "version", version, "", 1);
}
