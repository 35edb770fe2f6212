/* SPDX-License-Identifier: Apache-2.0
 * The server behind TLS: a client that checks the certificate is answered, old versions and plain text are not. The
 * certificate and the client are openssl's program.
 */
#include "test/serve_run.h"

static char folder[] = "/tmp/samsvar-tls-XXXXXX", cert[64], key[64], out[1 << 16];

static int run(const char *fmt, int port)
{
    char line[1280], form[1024];
    snprintf(form, sizeof form, fmt, port);
    snprintf(line, sizeof line, "cd %s && { %s; } >out 2>&1", folder, form);
    int rc = system(line);
    snprintf(line, sizeof line, "%s/out", folder);
    FILE *f = fopen(line, "r");
    size_t n = f ? fread(out, 1, sizeof out - 1, f) : 0;
    out[n] = '\0';
    if (f != NULL)
        fclose(f);
    return rc;
}

static int setup_tls(void **state)
{
    (void)state;
    const char *id[] = { "tiny" }, *path[] = { MODEL };
    assert_non_null(mkdtemp(folder));
    snprintf(cert, sizeof cert, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    if (run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem "
            "-days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost",
            0) != 0)
        fail_msg("%s", out);
    sv_serve_opts so = { .tls_cert = cert, .tls_key = key, .engine = { .chip = "cpu", .max_running = 4 } };
    so.engine.machine.n_thread = 1;
    ok(sv_serve_start(&so, &server));
    ok(sv_serve_open(server, id, path, 1));
    return 0;
}

static int teardown_tls(void **state)
{
    (void)state;
    char line[128];
    sv_serve_stop(server);
    snprintf(line, sizeof line, "rm -rf %s", folder);
    return system(line);
}

#define ASK \
    "(printf 'GET /v1/models HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n'; sleep 1) | " \
    "timeout 20 openssl s_client -quiet -connect localhost:%d "

static void test_a_client_that_checks_the_certificate_is_answered(void **state)
{
    (void)state;
    run(ASK "-CAfile cert.pem -verify_return_error -verify_hostname localhost", sv_serve_port(server));
    assert_non_null(strstr(out, "HTTP/1.1 200"));
    assert_non_null(strstr(out, "\"id\":\"tiny\""));
}

static void test_versions_before_1_2_are_refused(void **state)
{
    (void)state;
    run(ASK "-tls1_1 -cipher DEFAULT@SECLEVEL=0", sv_serve_port(server));
    assert_null(strstr(out, "HTTP/1.1"));
    run(ASK "-tls1_2", sv_serve_port(server));
    assert_non_null(strstr(out, "HTTP/1.1 200"));
}

static void test_plain_text_gets_no_answer(void **state)
{
    (void)state;
    sv_bytes r = { 0 };
    assert_int_equal(raw("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &r), 0);
    sv_bytes_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_that_checks_the_certificate_is_answered),
        cmocka_unit_test(test_versions_before_1_2_are_refused),
        cmocka_unit_test(test_plain_text_gets_no_answer),
    };
    if (system("openssl version >/dev/null 2>&1") != 0)
        return 77;
    return cmocka_run_group_tests(tests, setup_tls, teardown_tls);
}
