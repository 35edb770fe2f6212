/* SPDX-License-Identifier: Apache-2.0
 * samsvar pull against a hub on this machine that cuts, lies, stalls and sends elsewhere: what arrives is whole or it
 * is not there, and the token stays with the hub.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <strings.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "test/cli_run.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define N_BIG 300000u

typedef enum mode { GOOD, CUT, NO_RANGE, LIES_ONCE, LIES, TOO_LONG, STALLS, BUSY, GATED, ESCAPES, LOOPS, MOVED } mode;

static mode now;
static int hub_fd, far_fd, hub_port, far_port;
static int n_get, n_ranged, token_at_hub, token_far; /* of the big file, since `begin` */
static char big[N_BIG], big_hash[65], small_hash[41];
static const char small[] = "{\"model_type\":\"none\"}\n";

static void hash(const EVP_MD *md, const void *head, size_t n_head, const void *data, size_t n, char *hex)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned m;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    EVP_DigestInit_ex(c, md, NULL);
    EVP_DigestUpdate(c, head, n_head);
    EVP_DigestUpdate(c, data, n);
    EVP_DigestFinal_ex(c, sum, &m);
    EVP_MD_CTX_free(c);
    for (unsigned i = 0; i < m; i++)
        sprintf(hex + 2 * i, "%02x", sum[i]);
}

/* ---- the hub ---- */

static void say(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        data += sent;
        n -= (size_t)sent;
    }
}

__attribute__((format(printf, 2, 3))) static void sayf(int fd, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    say(fd, text, (size_t)n);
}

static void send_big(int fd, size_t from)
{
    static char other[N_BIG];
    const char *data = big;
    size_t end = N_BIG;
    n_get++;
    n_ranged += from > 0;
    if (now == NO_RANGE)
        from = 0;
    if (now == LIES || (now == LIES_ONCE && n_get == 1)) {
        memcpy(other, big, N_BIG);
        other[N_BIG / 2] ^= 1;
        data = other;
    }
    if (now == TOO_LONG) {
        sayf(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        say(fd, big, N_BIG);
        say(fd, big, N_BIG);
        return;
    }
    if (now == BUSY && n_get < 3) {
        sayf(fd, "HTTP/1.1 %s\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
             n_get == 1 ? "429 Too Many Requests" : "503 Unavailable");
        return;
    }
    if ((now == CUT || now == NO_RANGE || now == STALLS) && n_get == 1)
        end = N_BIG / 2;
    sayf(fd, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", from ? "206 Partial" : "200 OK",
         (size_t)N_BIG - from);
    say(fd, data + from, end - from);
    if (now == STALLS && n_get == 1)
        poll(NULL, 0, 4000);
}

static void hub(int fd, const char *path, bool head)
{
    const char *linked = "X-Repo-Commit: " COMMIT "\r\n";
    if (now == GATED) {
        sayf(fd, "HTTP/1.1 403 No\r\nX-Error-Code: GatedRepo\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    } else if (now == MOVED && strstr(path, "/old/") != NULL) {
        const char *at = strstr(path, "/old/");
        sayf(fd, "HTTP/1.1 307 Moved\r\nLocation: %.*s/org/%s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
             (int)(at - path), path, at + 5);
    } else if (strstr(path, "/tree/") != NULL) {
        char list[512];
        int n = snprintf(list, sizeof list,
                         "[{\"type\":\"directory\",\"path\":\"x\"},{\"type\":\"file\",\"path\":\"%s\"},"
                         "{\"type\":\"file\",\"path\":\"sub/model.gguf\"},{\"type\":\"file\",\"path\":\"pytorch.bin\"},"
                         "{\"type\":\"file\",\"path\":\"model.safetensors\"}]",
                         now == ESCAPES ? "../../../config.json" : "config.json");
        sayf(fd, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", n, list);
    } else if (strstr(path, "config.json") != NULL) {
        sayf(fd, "HTTP/1.1 200 OK\r\n%sETag: W/\"%s\"\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", linked,
             small_hash, sizeof small - 1, head ? "" : small);
    } else if (now == LOOPS && !head) {
        sayf(fd, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", path);
    } else {
        sayf(fd,
             "HTTP/1.1 302 Found\r\n%sX-Linked-Etag: \"%s\"\r\nX-Linked-Size: %u\r\nETag: \"of-the-redirect\"\r\n"
             "Location: http://127.0.0.1:%d/far\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
             linked, big_hash, N_BIG, far_port);
    }
}

static void answer(int fd, bool far)
{
    char q[4096], path[1024] = "", word[16] = "";
    size_t n = 0, from = 0;
    while (n < sizeof q - 1) {
        ssize_t got = recv(fd, q + n, sizeof q - 1 - n, 0);
        if (got <= 0)
            return;
        n += (size_t)got;
        q[n] = '\0';
        if (strstr(q, "\r\n\r\n") != NULL)
            break;
    }
    sscanf(q, "%15s %1023s", word, path);
    bool token = strcasestr(q, "\r\nAuthorization: Bearer secret-token\r\n") != NULL;
    token_at_hub += !far && token;
    token_far += far && token;
    const char *range = strcasestr(q, "\r\nRange: bytes=");
    if (range != NULL)
        from = (size_t)atol(range + 15);
    if (far)
        send_big(fd, from);
    else
        hub(fd, path, strcmp(word, "HEAD") == 0);
}

static void *serve(void *arg)
{
    bool far = arg != NULL;
    for (;;) {
        int fd = accept(far ? far_fd : hub_fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        answer(fd, far);
        close(fd);
    }
}

static int listen_on(int *port)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &n) != 0)
        return -1;
    *port = ntohs(at.sin_port);
    return fd;
}

static int set_up(void **state)
{
    pthread_t t;
    uint32_t x = 7;
    for (size_t i = 0; i < N_BIG; i++)
        big[i] = (char)((x = x * 1664525u + 1013904223u) >> 24);
    hash(EVP_sha256(), "", 0, big, N_BIG, big_hash);
    hash(EVP_sha1(), "blob 22", 8, small, sizeof small - 1, small_hash);
    assert_int_equal(sizeof small - 1, 22);
    hub_fd = listen_on(&hub_port);
    far_fd = listen_on(&far_port);
    assert_true(hub_fd >= 0 && far_fd >= 0);
    pthread_create(&t, NULL, serve, NULL);
    pthread_detach(t);
    pthread_create(&t, NULL, serve, big);
    pthread_detach(t);
    return cli_set_up(state);
}

/* ---- the claims ---- */

static int pull_as(mode m, const char *name)
{
    const char *env =
        CLI_TEXT("-u HF_HUB_CACHE -u HF_TOKEN_PATH -u HF_HUB_OFFLINE -u http_proxy -u https_proxy HF_HOME=%s/hf "
                 "HF_ENDPOINT=http://127.0.0.1:%d HF_TOKEN=secret-token",
                 cli_root, hub_port);
    now = m;
    n_get = n_ranged = token_at_hub = token_far = 0;
    return cli_env(env, CLI_TEXT("pull %s --stall-s 1", name));
}

static int pull(mode m)
{
    system(CLI_TEXT("rm -rf %s/hf", cli_root));
    return pull_as(m, "hf:org/name");
}

static const char *in_cache(const char *rest)
{
    return CLI_TEXT("%s/hf/hub/models--org--name/%s", cli_root, rest);
}

static bool is_whole(void)
{
    static char got[N_BIG + 1];
    FILE *f = fopen(in_cache("snapshots/" COMMIT "/model.safetensors"), "r");
    size_t n = f ? fread(got, 1, sizeof got, f) : 0;
    if (f != NULL)
        fclose(f);
    return n == N_BIG && memcmp(got, big, N_BIG) == 0;
}

static void test_a_repository_lands_in_the_hubs_own_layout(void **state)
{
    (void)state;
    char to[256];
    assert_int_equal(pull(GOOD), 0);
    assert_true(is_whole());
    assert_true(cli_has(cli_out, "/snapshots/" COMMIT));
    ssize_t n = readlink(in_cache("snapshots/" COMMIT "/config.json"), to, sizeof to - 1);
    assert_true(n > 0);
    to[n] = '\0';
    assert_string_equal(to, CLI_TEXT("../../blobs/%s", small_hash));
    FILE *f = fopen(in_cache("refs/main"), "r");
    assert_true(f != NULL && fread(to, 1, 40, f) == 40 && memcmp(to, COMMIT, 40) == 0);
    fclose(f);
    assert_int_not_equal(access(in_cache("snapshots/" COMMIT "/pytorch.bin"), F_OK), 0);
    assert_true(token_at_hub > 0);
    assert_int_equal(token_far, 0); /* the token stays with the hub */
    assert_false(cli_has(cli_err, "secret-token"));
    assert_int_equal(pull_as(GOOD, "hf:org/name"), 0); /* nothing is fetched twice */
    assert_int_equal(n_get, 0);
    assert_int_equal(pull_as(GOOD, "hf:org/name:sub/model.gguf"), 0);
    n = readlink(in_cache("snapshots/" COMMIT "/sub/model.gguf"), to, sizeof to - 1);
    assert_true(n > 0 && strncmp(to, "../../../blobs/", 15) == 0);
}

static void test_what_was_cut_goes_on_where_it_stopped(void **state)
{
    (void)state;
    assert_int_equal(pull(CUT), 0);
    assert_true(is_whole());
    assert_int_equal(n_ranged, 1);
    assert_int_equal(pull(NO_RANGE), 0); /* the whole comes again */
    assert_true(is_whole());
    assert_int_equal(pull(STALLS), 0);
    assert_true(is_whole());
    assert_int_equal(pull(BUSY), 0);
    assert_true(is_whole());
    assert_int_equal(n_get, 3);
}

static void test_wrong_bytes_never_stay(void **state)
{
    (void)state;
    assert_int_equal(pull(LIES_ONCE), 0);
    assert_true(is_whole());
    assert_int_equal(n_get, 2);
    assert_int_equal(pull(LIES), 3);
    assert_true(cli_has(cli_err, "does not have the hash"));
    assert_int_not_equal(access(in_cache("snapshots/" COMMIT "/model.safetensors"), F_OK), 0);
    assert_int_not_equal(access(in_cache("refs/main"), F_OK), 0);
    assert_int_equal(pull(TOO_LONG), 3);
    assert_true(cli_has(cli_err, "more bytes"));
    assert_int_not_equal(access(in_cache("snapshots/" COMMIT "/model.safetensors"), F_OK), 0);
}

static void test_a_hub_cannot_lead_astray(void **state)
{
    (void)state;
    assert_int_equal(pull_as(ESCAPES, "hf:org/name --include '*config.json'"), 3);
    assert_true(cli_has(cli_err, "outside of the cache"));
    assert_int_not_equal(access(CLI_TEXT("%s/hf/hub/config.json", cli_root), F_OK), 0);
    assert_int_equal(pull(LOOPS), 3);
    assert_true(cli_has(cli_err, "redirects"));
    assert_int_equal(pull(GATED), 3);
    assert_true(cli_has(cli_err, "licence"));
    assert_int_equal(pull_as(MOVED, "hf:old/name:model.safetensors"), 0);
}

static void test_names_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "hf:name", "hf:../name",  "hf:a/b/c",  "hf:a/..",
                                       "hf:a/b@", "hf:a/b:../c", "'hf:a/b c'" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(pull_as(GOOD, bad[i]), 2);
    assert_int_equal(cli_env(CLI_TEXT("HF_HOME=%s/none", cli_root), "run hf:org/name -p x"), 3);
    assert_true(cli_has(cli_err, "samsvar pull hf:org/name"));
    assert_int_equal(cli_env("HF_ENDPOINT=http://example.org", "pull hf:org/name"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_repository_lands_in_the_hubs_own_layout),
        cmocka_unit_test(test_what_was_cut_goes_on_where_it_stopped),
        cmocka_unit_test(test_wrong_bytes_never_stay),
        cmocka_unit_test(test_a_hub_cannot_lead_astray),
        cmocka_unit_test(test_names_that_are_none_are_refused),
    };
    if (cli_missing())
        return 77;
    return cmocka_run_group_tests(tests, set_up, cli_tear_down);
}
