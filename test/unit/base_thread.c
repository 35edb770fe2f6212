/* SPDX-License-Identifier: Apache-2.0
 * base/thread, base/clock and base/log: start and join, the bounded queue, time that goes forward, one line a message.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/thread.h"

enum { N_ITEM = 20000, N_THREAD = 3 };

static sv_queue_ptr *queue;
static uint32_t items[N_THREAD][N_ITEM];
static _Atomic uint64_t sum, count;

static void produce(void *arg)
{
    uint32_t *mine = arg;
    for (uint32_t i = 0; i < N_ITEM; i++) {
        mine[i] = i + 1;
        if (!sv_queue_ptr_put(queue, &mine[i]))
            abort();
    }
}

static void consume(void *arg)
{
    (void)arg;
    uint32_t *item;
    while ((item = sv_queue_ptr_get(queue))) {
        atomic_fetch_add(&sum, *item);
        atomic_fetch_add(&count, 1);
    }
}

static void test_every_item_arrives_once_for_any_capacity(void **state)
{
    (void)state;
    static const uint32_t caps[] = { 1, 2, 7, 1000 };
    for (size_t k = 0; k < 4; k++) {
        sv_thread *producers[N_THREAD], *consumers[N_THREAD];
        queue = sv_queue_ptr_make(caps[k]);
        sum = count = 0;
        for (int i = 0; i < N_THREAD; i++) {
            assert_int_equal(sv_thread_start("a-name-longer-than-15", produce, items[i], &producers[i]), SV_OK);
            assert_int_equal(sv_thread_start("consumer", consume, NULL, &consumers[i]), SV_OK);
        }
        for (int i = 0; i < N_THREAD; i++)
            sv_thread_join(producers[i]);
        sv_queue_ptr_close(queue);
        for (int i = 0; i < N_THREAD; i++)
            sv_thread_join(consumers[i]);
        sv_queue_ptr_drop(queue);
        assert_int_equal(count, (uint64_t)N_THREAD * N_ITEM);
        assert_int_equal(sum, (uint64_t)N_THREAD * N_ITEM * (N_ITEM + 1) / 2);
    }
}

static void test_one_reader_gets_items_in_order_and_the_rest_after_close(void **state)
{
    (void)state;
    sv_queue_ptr *q = sv_queue_ptr_make(3);
    int v[4];
    for (int round = 0; round < 5; round++) {
        assert_true(sv_queue_ptr_put(q, &v[0]) && sv_queue_ptr_put(q, &v[1]));
        assert_ptr_equal(sv_queue_ptr_get(q), &v[0]);
        assert_ptr_equal(sv_queue_ptr_get(q), &v[1]);
    }
    assert_true(sv_queue_ptr_put(q, &v[2]) && sv_queue_ptr_put(q, &v[3]));
    sv_queue_ptr_close(q);
    assert_false(sv_queue_ptr_put(q, &v[0]));
    assert_ptr_equal(sv_queue_ptr_get(q), &v[2]);
    assert_ptr_equal(sv_queue_ptr_get(q), &v[3]);
    assert_null(sv_queue_ptr_get(q));
    sv_queue_ptr_drop(q);
    sv_queue_ptr_drop(NULL);
}

static void put_into_full(void *arg)
{
    *(bool *)arg = sv_queue_ptr_put(queue, arg);
}

static void test_close_wakes_a_waiting_writer(void **state)
{
    (void)state;
    queue = sv_queue_ptr_make(1);
    int first;
    bool was_put = true;
    assert_true(sv_queue_ptr_put(queue, &first));
    sv_thread *t;
    assert_int_equal(sv_thread_start("writer", put_into_full, &was_put, &t), SV_OK);
    usleep(20000);
    sv_queue_ptr_close(queue);
    sv_thread_join(t);
    assert_false(was_put);
    assert_ptr_equal(sv_queue_ptr_get(queue), &first);
    sv_queue_ptr_drop(queue);
}

static void look_at_mask(void *arg)
{
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    *(bool *)arg = sigismember(&set, SIGINT) == 1 && sigismember(&set, SIGTERM) == 1;
}

static void test_signals_stay_with_the_main_thread(void **state)
{
    (void)state;
    bool is_blocked = false;
    sv_thread *t;
    assert_int_equal(sv_thread_start("mask", look_at_mask, &is_blocked, &t), SV_OK);
    sv_thread_join(t);
    assert_true(is_blocked);
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    assert_int_equal(sigismember(&set, SIGINT), 0);
    assert_in_range(sv_thread_cores(), 1, 65536);
}

static void test_time_goes_forward(void **state)
{
    (void)state;
    uint64_t a = sv_clock_ns();
    double s = sv_clock_s();
    usleep(2000);
    assert_true(sv_clock_ns() >= a + 2000000);
    assert_true(sv_clock_s() > s);
    assert_true(sv_clock_unix() > 1600000000);
}

/* What fn writes to stderr. */
static size_t capture(void (*fn)(void), char *out, size_t cap)
{
    int p[2], old = dup(STDERR_FILENO);
    assert_int_equal(pipe(p), 0);
    dup2(p[1], STDERR_FILENO);
    fn();
    dup2(old, STDERR_FILENO);
    close(old);
    close(p[1]);
    ssize_t n, all = 0;
    while ((n = read(p[0], out + all, cap - 1 - (size_t)all)) > 0)
        all += n;
    close(p[0]);
    out[all] = '\0';
    return (size_t)all;
}

static void log_three(void)
{
    sv_log(SV_LOG_WARN, "train", "step %d\n\x1b[31mred \xc3\xa6 \xff", 7);
    sv_log(SV_LOG_INFO, "train", "not above warn");
    sv_log(SV_LOG_ERROR, "infer", "%05000d", 1);
}

static void test_a_log_message_is_one_line_without_control_characters(void **state)
{
    (void)state;
    char out[16384];
    sv_log_set(SV_LOG_WARN, false);
    capture(log_three, out, sizeof out);
    const char *first = "samsvar: warn: train: step 7\\x0a\\x1b[31mred \xc3\xa6 \\xff\n";
    assert_memory_equal(out, first, strlen(first));
    char *second = out + strlen(first);
    assert_memory_equal(second, "samsvar: error: infer: 000", 26);
    assert_ptr_equal(strchr(second, '\n'), second + strlen(second) - 1);
}

static void test_a_log_message_in_json_parses(void **state)
{
    (void)state;
    char out[16384];
    sv_log_set(SV_LOG_INFO, true);
    capture(log_three, out, sizeof out);
    sv_log_set(SV_LOG_WARN, false);
    int n_line = 0;
    for (char *line = out, *end; *line; line = end + 1, n_line++) {
        end = strchr(line, '\n');
        assert_non_null(end);
        json_t *o;
        assert_int_equal(sv_json_parse((sv_str){ line, (size_t)(end - line) }, &sv_json_file_limits, "log", &o), SV_OK);
        assert_string_equal(json_string_value(sv_json_get(o, "event")), "log");
        if (n_line == 0)
            assert_string_equal(json_string_value(sv_json_get(o, "message")),
                                "step 7\n\x1b[31mred \xc3\xa6 \xef\xbf\xbd");
        json_decref(o);
    }
    assert_int_equal(n_line, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_item_arrives_once_for_any_capacity),
        cmocka_unit_test(test_one_reader_gets_items_in_order_and_the_rest_after_close),
        cmocka_unit_test(test_close_wakes_a_waiting_writer),
        cmocka_unit_test(test_signals_stay_with_the_main_thread),
        cmocka_unit_test(test_time_goes_forward),
        cmocka_unit_test(test_a_log_message_is_one_line_without_control_characters),
        cmocka_unit_test(test_a_log_message_in_json_parses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
