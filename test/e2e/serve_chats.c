/* SPDX-License-Identifier: Apache-2.0
 * Conversations kept on the server: each key's own, nothing acknowledged is lost by kill -9, thumbs become labels. And
 * answers proved on another chip.
 */
#include <signal.h>
#include <sys/wait.h>

#include "serve/chats.h"
#include "test/serve_run.h"

#define CHATTER "Authorization: Bearer the-first-key\r\n"
#define OTHER "Authorization: Bearer the-second-key\r\n"
#define SILENT "Authorization: Bearer the-third-key\r\n"

static char folder[] = "/tmp/samsvar-chats-XXXXXX", file[64], keys[64];

static void begin_server(void)
{
    sv_serve_opts so = { .api_keys = keys,
                         .chats = file,
                         .engine = { .chip = "cpu", .max_running = 4, .chunk = 16, .prefix = true } };
    const char *id[] = { "tiny" }, *path[] = { MODEL };
    so.engine.machine.n_thread = 1;
    ok(sv_serve_start(&so, &server));
    ok(sv_serve_open(server, id, path, 1));
}

static int setup_files(void **state)
{
    (void)state;
    const char *text = "the-first-key chats\nthe-second-key chats admin\nthe-third-key\n";
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/chats.db", folder);
    snprintf(keys, sizeof keys, "%s/keys", folder);
    FILE *f = fopen(keys, "w");
    assert_true(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    chmod(keys, 0600);
    return 0;
}

static int teardown_files(void **state)
{
    (void)state;
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", folder);
    return system(line);
}

static int ask(const char *method, const char *path, const char *body, const char *key, sv_bytes *out)
{
    sv_bytes q = { 0 };
    sv_bytes_printf(&q,
                    "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
                    "Content-Length: %zu\r\n%s\r\n%s",
                    method, path, strlen(body), key, body);
    int status = raw(q.p, out);
    sv_bytes_done(&q);
    return status;
}

static void want(const char *method, const char *path, const char *body, const char *key, int status)
{
    sv_bytes r = { 0 };
    int found = ask(method, path, body, key, &r);
    if (found != status)
        fail_msg("%s %s: expected %d, found %d: %.300s", method, path, status, found, r.p);
    sv_bytes_done(&r);
}

/* ---- kill -9 ---- */

static void serve_child(int out)
{
    begin_server();
    uint16_t port = sv_serve_port(server);
    if (write(out, &port, sizeof port) != sizeof port)
        _exit(1);
    for (;;)
        pause();
}

static bool put_at(uint16_t port, int i)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
    char q[512], body[128], buf[256] = "";
    snprintf(body, sizeof body, "{\"role\":\"user\",\"content\":\"message %d\",\"parent\":null}", i);
    snprintf(q, sizeof q,
             "PUT /samsvar/chats/c1/messages/m%d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s"
             "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             i, CHATTER, strlen(body), body);
    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool acknowledged = false;
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0 && send(fd, q, strlen(q), MSG_NOSIGNAL) > 0)
        acknowledged = recv(fd, buf, sizeof buf - 1, 0) > 12 && strncmp(buf + 9, "200", 3) == 0;
    close(fd);
    return acknowledged;
}

static void *kill_soon(void *arg)
{
    poll(NULL, 0, 400);
    kill((pid_t)(intptr_t)arg, SIGKILL);
    return NULL;
}

/* First in the program: the child is made before there are threads. */
static void test_kill_9_loses_no_acknowledged_message(void **state)
{
    (void)state;
    int pipes[2], n = 0;
    uint16_t port;
    pthread_t killer;
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0)
        serve_child(pipes[1]);
    assert_int_equal(read(pipes[0], &port, sizeof port), sizeof port);
    pthread_create(&killer, NULL, kill_soon, (void *)(intptr_t)pid);
    while (put_at(port, n))
        n++;
    pthread_join(killer, NULL);
    waitpid(pid, NULL, 0);
    assert_true(n > 0);
    print_message("%d messages were acknowledged\n", n);
    begin_server();
    sv_bytes r = { 0 };
    assert_int_equal(ask("GET", "/samsvar/chats/c1", "", CHATTER, &r), 200);
    json_t *o = body_json(&r), *list = json_object_get(o, "messages");
    assert_true((int)json_array_size(list) == n || (int)json_array_size(list) == n + 1);
    for (int i = 0; i < n; i++) {
        char text[64];
        snprintf(text, sizeof text, "message %d", i);
        assert_string_equal(text_at(json_array_get(list, (size_t)i), "content"), text);
    }
    json_decref(o);
    want("DELETE", "/samsvar/chats/c1", "", CHATTER, 200);
    sv_bytes_done(&r);
}

/* ---- whose they are ---- */

static void test_conversations_are_each_keys_own(void **state)
{
    (void)state;
    sv_bytes r = { 0 };
    want("PUT", "/samsvar/chats/abc", "{\"title\":\"<script>alert(1)</script>\"}", CHATTER, 200);
    want("PUT", "/samsvar/chats/abc/messages/1", "{\"role\":\"user\",\"content\":\"secret\",\"parent\":null}", CHATTER,
         200);
    want("GET", "/samsvar/chats/abc", "", CHATTER, 200);
    want("GET", "/samsvar/chats/abc", "", OTHER, 404);
    want("DELETE", "/samsvar/chats/abc", "", OTHER, 404);
    want("GET", "/samsvar/chats", "", SILENT, 403);
    want("GET", "/samsvar/chats", "", "", 401);
    assert_int_equal(ask("GET", "/samsvar/chats", "", OTHER, &r), 200);
    assert_null(strstr(r.p, "abc"));
    assert_int_equal(ask("GET", "/samsvar/chats", "", CHATTER, &r), 200);
    assert_non_null(strstr(r.p, "\"title\":\"<script>alert(1)</script>\""));
    want("DELETE", "/samsvar/chats/abc", "", CHATTER, 200);
    want("GET", "/samsvar/chats/abc", "", CHATTER, 404);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
    sv_bytes_done(&r);
}

static void test_what_does_not_fit_is_refused(void **state)
{
    (void)state;
    want("PUT", "/samsvar/chats/a%20b", "{}", CHATTER, 404);
    want("PUT", "/samsvar/chats/x';--", "{}", CHATTER, 404);
    want("PUT", "/samsvar/chats/x", "[]", CHATTER, 400);
    want("PUT", "/samsvar/chats/x/messages/1", "{\"role\":\"user\"}", CHATTER, 400);
    want("PUT", "/samsvar/chats/x/messages/1", "{\"role\":\"user\",\"content\":\"a\",\"parent\":7}", CHATTER, 400);
    want("PUT", "/samsvar/chats/x/labels/1", "{\"label\":true}", CHATTER, 404);
    want("PUT", "/samsvar/chats/x/things/1", "{}", CHATTER, 404);
    want("PATCH", "/samsvar/chats/x", "{}", CHATTER, 405);
}

static void test_thumbs_are_labels_with_the_branch_before_them(void **state)
{
    (void)state;
    sv_bytes r = { 0 };
    const char *where[] = { "/samsvar/chats/t/messages/1", "/samsvar/chats/t/messages/2",
                            "/samsvar/chats/t/messages/3" };
    want("PUT", where[0], "{\"role\":\"user\",\"content\":\"1+1?\",\"parent\":null}", CHATTER, 200);
    want("PUT", where[1], "{\"role\":\"assistant\",\"content\":\"3\",\"parent\":\"1\"}", CHATTER, 200);
    want("PUT", where[2], "{\"role\":\"assistant\",\"content\":\"2\",\"reasoning\":\"one and one\",\"parent\":\"1\"}",
         CHATTER, 200);
    want("PUT", "/samsvar/chats/t/labels/2", "{\"label\":false}", CHATTER, 200);
    want("PUT", "/samsvar/chats/t/labels/3", "{\"label\":true}", CHATTER, 200);
    want("PUT", "/samsvar/chats/t/labels/3", "{\"label\":\"yes\"}", CHATTER, 400);
    assert_int_equal(ask("GET", "/samsvar/chats/labels.jsonl", "", CHATTER, &r), 200);
    assert_non_null(strstr(r.p, "{\"prompt\":[{\"role\":\"user\",\"content\":\"1+1?\"}],\"completion\":[{\"role\":"
                                "\"assistant\",\"content\":\"3\"}],\"label\":false,\"source\":\"chat\"}\n"));
    assert_non_null(strstr(r.p, "\"reasoning_content\":\"one and one\"}],\"label\":true"));
    want("PUT", "/samsvar/chats/t/labels/2", "{\"label\":null}", CHATTER, 200);
    want("PUT", "/samsvar/chats/t/labels/3", "{\"label\":null}", CHATTER, 200);
    assert_int_equal(ask("GET", "/samsvar/chats/labels.jsonl", "", CHATTER, &r), 200);
    assert_null(strstr(r.p, "1+1?"));
    want("DELETE", "/samsvar/chats/t", "", CHATTER, 200);
    sv_bytes_done(&r);
}

/* ---- proofs ---- */

#define REQUEST \
    "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"abc\"}],\"max_tokens\":12,\"seed\":7," \
    "\"temperature\":1,\"stop\":[\"zz\"],\"ignore_eos\":true}"

static void prove(const char *sha, const char *chip, int status, const char *words)
{
    sv_bytes q = { 0 }, r = { 0 };
    sv_bytes_printf(&q, "{\"request\":%s,\"output_sha256\":\"%s\",\"chip\":\"%s\"}", REQUEST, sha, chip);
    int found = ask("POST", "/samsvar/prove", q.p, CHATTER, &r);
    if (found != status || strstr(r.p, words) == NULL)
        fail_msg("chip %s: expected %d and %s, found %.600s", chip, status, words, r.p);
    sv_bytes_done(&q);
    sv_bytes_done(&r);
}

static void test_an_answer_is_proved_on_other_chips_and_a_forged_one_is_not(void **state)
{
    (void)state;
    sv_bytes r = { 0 };
    char sha[65];
    assert_int_equal(ask("POST", "/v1/chat/completions", REQUEST, CHATTER, &r), 200);
    json_t *o = body_json(&r);
    snprintf(sha, sizeof sha, "%s", text_at(o, "samsvar/output_sha256"));
    json_decref(o);
    prove(sha, "ref", 200, "\"verdict\":\"IDENTICAL\"");
    prove(sha, "odd", 200, "\"verdict\":\"IDENTICAL\"");
    prove(sha, "cpu:scalar", 200, sha);
    sha[0] = sha[0] == '0' ? '1' : '0';
    prove(sha, "ref", 200, "\"verdict\":\"DIFFERENT\"");
    prove(sha, "null", 200, "\"first_difference\"");
    prove(sha, "nothing", 400, "nothing");
    want("POST", "/samsvar/prove", "{}", CHATTER, 400);
    want("POST", "/samsvar/prove", "{\"request\":{\"prompt\":\"a\",\"temperature\":1}}", CHATTER, 400);
    assert_int_equal(ask("GET", "/samsvar/page", "", CHATTER, &r), 200);
    assert_non_null(strstr(r.p, "\"chats\":true"));
    assert_int_equal(ask("GET", "/samsvar/page", "", SILENT, &r), 200);
    assert_non_null(strstr(r.p, "\"chats\":false"));
    sv_bytes_done(&r);
    sv_serve_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_9_loses_no_acknowledged_message),
        cmocka_unit_test(test_conversations_are_each_keys_own),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_thumbs_are_labels_with_the_branch_before_them),
        cmocka_unit_test(test_an_answer_is_proved_on_other_chips_and_a_forged_one_is_not),
    };
    return cmocka_run_group_tests(tests, setup_files, teardown_files);
}
