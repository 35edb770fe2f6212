/* SPDX-License-Identifier: Apache-2.0
 * Several models on a running server: swaps under load change no answer and fail no request; only the administrator may
 * order them; the list and the keys can be read anew. And what many waiting clients cost.
 */
#include <fcntl.h>

#include "test/serve_run.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNDER_SANITIZER
#endif
#endif

#define QWEN "test/golden/models/qwen3"
#define LLAMA "test/golden/models/llama"
#define N_CLIENT 16
#define N_SEED 4
#define N_IDLE 256
#define ADMIN "Authorization: Bearer the-admin-key\r\n"
#define USER "Authorization: Bearer some-user-key\r\n"

static char keys_path[] = "/tmp/samsvar-keys-XXXXXX";

static void write_keys(const char *text)
{
    int fd = open(keys_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static void begin_server(uint32_t max_queue)
{
    sv_serve_opts so = { .api_keys = keys_path,
                         .max_queue = max_queue,
                         .engine = { .chip = "cpu", .max_running = 4, .chunk = 16, .prefix = true } };
    so.engine.machine.n_thread = 1;
    ok(sv_serve_start(&so, &server));
}

static int setup_keys(void **state)
{
    (void)state;
    close(mkstemp(keys_path));
    write_keys("the-admin-key admin\nsome-user-key\n");
    return 0;
}

static int teardown_keys(void **state)
{
    (void)state;
    sv_serve_stop(server);
    server = NULL;
    unlink(keys_path);
    return 0;
}

static void open_both(uint32_t max_queue)
{
    const char *id[] = { "a", "b" }, *path[] = { QWEN, LLAMA };
    begin_server(max_queue);
    ok(sv_serve_open(server, id, path, 2));
}

/* ---- orders ---- */

static int order_by(const char *path, const char *body, const char *key, sv_bytes *out)
{
    int fd = dial();
    post_start(fd, path, sv_str_of(body), key);
    hear(fd, out);
    return status_of(out);
}

static void order(const char *path, const char *body)
{
    sv_bytes r = { 0 };
    if (order_by(path, body, ADMIN, &r) != 200)
        fail_msg("%s: %.400s", path, r.p);
    sv_bytes_done(&r);
}

static int get(const char *path, const char *key, sv_bytes *out)
{
    char q[512];
    snprintf(q, sizeof q, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n", path, key);
    return raw(q, out);
}

static void test_health_says_loading_until_models_are_there(void **state)
{
    (void)state;
    const char *id[] = { "a" }, *path[] = { QWEN }, *none[] = { "/nothing" };
    sv_bytes r = { 0 };
    begin_server(0);
    assert_int_equal(get("/health", "", &r), 503);
    assert_non_null(strstr(r.p, "Loading model"));
    assert_int_equal(get("/v1/models", USER, &r), 503);
    assert_true(sv_serve_open(server, id, none, 1) != SV_OK);
    assert_int_equal(get("/health", "", &r), 503);
    ok(sv_serve_reload(server, id, path, 1));
    sv_serve_stop(server);
    begin_server(0);
    ok(sv_serve_open(server, id, path, 1));
    assert_int_equal(get("/health", "", &r), 200);
    sv_serve_stop(server);
    server = NULL;
    sv_bytes_done(&r);
}

static void test_only_the_administrator_changes_models(void **state)
{
    (void)state;
    sv_bytes r = { 0 };
    open_both(0);
    assert_int_equal(order_by("/samsvar/models/a/unload", "", "", &r), 401);
    assert_int_equal(order_by("/samsvar/models/a/unload", "", USER, &r), 403);
    assert_int_equal(order_by("/samsvar/models/c/load", "", ADMIN, &r), 404);
    assert_int_equal(order_by("/samsvar/models/c/unload", "", ADMIN, &r), 404);
    assert_int_equal(order_by("/samsvar/models/a/alias", "{\"alias\":\"b\"}", ADMIN, &r), 400);
    assert_int_equal(order_by("/samsvar/models/a/alias", "{\"alias\":\"x y\"}", ADMIN, &r), 400);
    assert_int_equal(order_by("/samsvar/models/a/eat", "", ADMIN, &r), 404);
    assert_int_equal(get("/samsvar/models", USER, &r), 200);
    assert_null(strstr(r.p, "golden")); /* paths are the administrator's */
    assert_int_equal(get("/samsvar/models", ADMIN, &r), 200);
    assert_non_null(strstr(r.p, "golden"));
    order("/samsvar/models/a/alias", "{\"alias\":\"main\"}");
    assert_int_equal(get("/v1/models/main", USER, &r), 200);
    order("/samsvar/models/a/unload", "");
    assert_int_equal(get("/v1/models/a", USER, &r), 404);
    assert_int_equal(get("/v1/models/main", USER, &r), 404);
    order("/samsvar/models/a/load", "");
    assert_int_equal(get("/v1/models/a", USER, &r), 200);
    sv_serve_stop(server);
    server = NULL;
    sv_bytes_done(&r);
}

static bool comes(const char *path, const char *key, int status)
{
    sv_bytes r = { 0 };
    int found = 0;
    for (int i = 0; i < 500 && found != status; i++) {
        found = get(path, key, &r);
        poll(NULL, 0, found == status ? 0 : 20);
    }
    sv_bytes_done(&r);
    return found == status;
}

static void test_keys_and_the_list_are_read_anew(void **state)
{
    (void)state;
    const char *id[] = { "b", "c" }, *path[] = { LLAMA, QWEN };
    open_both(0);
    write_keys("another-key-9\nthe-admin-key admin\n");
    ok(sv_serve_reload(server, id, path, 2));
    assert_true(comes("/v1/models/c", ADMIN, 200));
    assert_true(comes("/v1/models/a", ADMIN, 404));
    assert_true(comes("/v1/models/b", ADMIN, 200));
    assert_true(comes("/v1/models/b", USER, 401));
    write_keys("short\n"); /* refused: the old ones stay */
    assert_int_equal(sv_serve_reload(server, id, path, 2), SV_E_ARG);
    assert_true(comes("/v1/models/b", ADMIN, 200));
    write_keys("the-admin-key admin\nsome-user-key\n");
    sv_serve_stop(server);
    server = NULL;
}

/* ---- swaps under load ---- */

typedef struct solo {
    char print[32];
    char *answer[N_SEED];
} solo;

static solo known[2];
static bool over;            /* atomic */
static int n_asked, n_wrong; /* atomic */

static char *ask(const char *name, int seed, char print[32])
{
    sv_bytes r = { 0 };
    char body[256];
    snprintf(body, sizeof body,
             "{\"model\":\"%s\",\"prompt\":\"the sum of %d and\",\"max_tokens\":12,\"temperature\":1,\"seed\":%d,"
             "\"ignore_eos\":true,\"logprobs\":1}",
             name, seed, seed);
    int fd = dial();
    post_start(fd, "/v1/completions", sv_str_of(body), USER);
    hear(fd, &r);
    if (status_of(&r) != 200) {
        snprintf(print, 32, "status %d", status_of(&r));
        return r.p;
    }
    json_t *o = body_json(&r);
    snprintf(print, 32, "%s", text_at(o, "system_fingerprint"));
    char *text = json_dumps(json_object_get(o, "choices"), JSON_COMPACT);
    json_decref(o);
    sv_bytes_done(&r);
    return text;
}

static void *ask_on(void *arg)
{
    for (int i = (int)(intptr_t)arg; !__atomic_load_n(&over, __ATOMIC_RELAXED); i++) {
        char print[32];
        bool same = false;
        char *text = ask("main", i % N_SEED, print);
        for (int m = 0; m < 2; m++)
            same |= strcmp(print, known[m].print) == 0 && strcmp(text, known[m].answer[i % N_SEED]) == 0;
        if (!same)
            fprintf(stderr, "%s: %.300s\n", print, text);
        __atomic_fetch_add(&n_wrong, !same, __ATOMIC_RELAXED);
        __atomic_fetch_add(&n_asked, 1, __ATOMIC_RELAXED);
        free(text);
    }
    return NULL;
}

/* SAMSVAR_SWAPS=100 is the long form. */
static void test_swaps_under_load_change_no_answer_and_fail_no_request(void **state)
{
    (void)state;
    const char *id[] = { "a", "b" };
    const char *asked = getenv("SAMSVAR_SWAPS");
    int n_swap = asked ? atoi(asked) : 10;
    pthread_t thread[N_CLIENT];
    open_both(0);
    for (int m = 0; m < 2; m++)
        for (int i = 0; i < N_SEED; i++)
            known[m].answer[i] = ask(id[m], i, known[m].print);
    assert_string_not_equal(known[0].print, known[1].print);
    order("/samsvar/models/a/alias", "{\"alias\":\"main\"}");
    order("/samsvar/models/b/unload", "");
    for (int i = 0; i < N_CLIENT; i++)
        pthread_create(&thread[i], NULL, ask_on, (void *)(intptr_t)i);
    for (int i = 0; i < n_swap; i++) {
        char path[64];
        const char *to = id[(i + 1) % 2], *from = id[i % 2];
        snprintf(path, sizeof path, "/samsvar/models/%s/load", to);
        order(path, "");
        snprintf(path, sizeof path, "/samsvar/models/%s/alias", to);
        order(path, "{\"alias\":\"main\"}");
        snprintf(path, sizeof path, "/samsvar/models/%s/unload", from);
        order(path, "");
    }
    __atomic_store_n(&over, true, __ATOMIC_RELAXED);
    for (int i = 0; i < N_CLIENT; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(n_wrong, 0);
    assert_true(n_asked >= N_CLIENT);
    print_message("%d swaps, %d answers\n", n_swap, n_asked);
    for (int m = 0; m < 2; m++)
        for (int i = 0; i < N_SEED; i++)
            free(known[m].answer[i]);
    sv_serve_stop(server);
    server = NULL;
}

/* ---- many that wait ---- */

static long resident_kb(void)
{
    char line[256];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        sscanf(line, "VmRSS: %ld kB", &kb);
    if (f != NULL)
        fclose(f);
    return kb;
}

static int open_stream(void)
{
    char c;
    int fd = dial();
    post_start(fd, "/v1/completions",
               SV_STR("{\"model\":\"a\",\"prompt\":\"abc\",\"ignore_eos\":true,\"stream\":true}"), USER);
    assert_int_equal(recv(fd, &c, 1, 0), 1);
    return fd;
}

static void test_a_waiting_stream_costs_no_thread_and_less_than_32_kb(void **state)
{
    (void)state;
    static int fd[N_IDLE];
    open_both(2 * N_IDLE);
    for (int i = 0; i < 8; i++) /* what the first of all costs is not theirs */
        close(open_stream());
    long before = resident_kb();
    for (int i = 0; i < N_IDLE; i++)
        fd[i] = open_stream();
    long each = (resident_kb() - before) / N_IDLE;
    print_message("%ld KB each\n", each);
#ifndef UNDER_SANITIZER /* its shadow memory would be counted too */
    assert_true(each <= 32);
#endif
    for (int i = 0; i < N_IDLE; i++)
        close(fd[i]);
    assert_lives();
    sv_serve_stop(server);
    server = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_health_says_loading_until_models_are_there),
        cmocka_unit_test(test_only_the_administrator_changes_models),
        cmocka_unit_test(test_keys_and_the_list_are_read_anew),
        cmocka_unit_test(test_swaps_under_load_change_no_answer_and_fail_no_request),
        cmocka_unit_test(test_a_waiting_stream_costs_no_thread_and_less_than_32_kb),
    };
    return cmocka_run_group_tests(tests, setup_keys, teardown_keys);
}
