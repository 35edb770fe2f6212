/* SPDX-License-Identifier: Apache-2.0
 * base/file: whole reads, maps, atomic writes, logs, folders, locks; full disks and dying processes.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"

static sv_arena *arena;
static char dir[] = "/tmp/samsvar-file-XXXXXX";

static int group_setup(void **state)
{
    (void)state;
    arena = sv_arena_make();
    return mkdtemp(dir) ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    sv_err e = sv_file_remove_tree(dir);
    sv_arena_drop(arena);
    return e == SV_OK && !sv_file_exists(dir) ? 0 : -1;
}

static const char *in_dir(const char *name)
{
    return sv_path_join(arena, dir, name);
}

static void assert_holds(const char *path, const char *text)
{
    sv_str s;
    assert_int_equal(sv_file_read(path, 1 << 20, arena, &s), SV_OK);
    assert_string_equal(s.p, text);
    assert_int_equal(s.n, strlen(text));
}

/* Files in the test's folder that begin with `prefix`. */
static size_t count_files(const char *prefix)
{
    char **names;
    size_t n, found = 0;
    assert_int_equal(sv_file_list(dir, arena, &names, &n), SV_OK);
    for (size_t i = 0; i < n; i++)
        found += strncmp(names[i], prefix, strlen(prefix)) == 0;
    return found;
}

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    const char *path = in_dir("a.txt");
    assert_int_equal(sv_file_write(path, SV_STR("hello\n")), SV_OK);
    assert_holds(path, "hello\n");
    assert_int_equal(sv_file_write(path, SV_STR("")), SV_OK);
    assert_holds(path, "");
    assert_int_equal(count_files(".samsvar-"), 0);
    uint64_t bytes = 9;
    assert_true(sv_file_bytes(path, &bytes) == SV_OK && bytes == 0);
}

static void test_a_write_larger_than_the_buffer_arrives_whole(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    const char *path = in_dir("large");
    sv_file_out *f;
    char *data = sv_arena_new(arena, N);
    for (size_t i = 0; i < N; i++)
        data[i] = (char)(i * 131 >> 3);
    assert_int_equal(sv_file_out_open(path, &f), SV_OK);
    size_t at = 0;
    for (size_t n = 1; at < N; n = n * 3 + 1) {
        size_t k = n < N - at ? n : N - at;
        assert_int_equal(sv_file_out_write(f, data + at, k), SV_OK);
        at += k;
    }
    assert_false(sv_file_exists(path));
    assert_int_equal(sv_file_out_commit(f), SV_OK);
    sv_file_map m;
    assert_int_equal(sv_file_map_open(path, &m), SV_OK);
    assert_int_equal(m.n, N);
    assert_memory_equal(m.p, data, N);
    sv_file_map_close(&m);
    sv_str s;
    assert_int_equal(sv_file_read(path, N, arena, &s), SV_OK);
    assert_int_equal(s.n, N);
    assert_memory_equal(s.p, data, N);
    assert_int_equal(sv_file_read(path, N - 1, arena, &s), SV_E_LIMIT);
}

static void test_nothing_is_seen_before_commit_and_abort_leaves_the_old_file(void **state)
{
    (void)state;
    const char *path = in_dir("b.txt");
    sv_file_out *f;
    assert_int_equal(sv_file_write(path, SV_STR("old")), SV_OK);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(sv_file_out_open(path, &f), SV_OK);
    assert_int_equal(sv_file_out_write(f, "new", 3), SV_OK);
    assert_holds(path, "old");
    sv_file_out_abort(f);
    assert_holds(path, "old");
    assert_int_equal(count_files(".samsvar-"), 0);
    sv_file_out_abort(NULL);
    assert_int_equal(sv_file_write(path, SV_STR("new")), SV_OK);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

static void test_missing_and_wrong_files_are_named(void **state)
{
    (void)state;
    sv_str s;
    sv_file_map m;
    sv_file_out *f;
    const char *path = in_dir("none");
    assert_int_equal(sv_file_read(path, 10, arena, &s), SV_E_NOTFOUND);
    assert_non_null(strstr(sv_err_text(), path));
    assert_int_equal(sv_file_map_open(path, &m), SV_E_NOTFOUND);
    assert_int_equal(m.n, 0);
    assert_int_equal(sv_file_map_open(dir, &m), SV_E_FORMAT);
    assert_non_null(strstr(sv_err_text(), "is a folder"));
    assert_int_equal(sv_file_read(dir, 10, arena, &s), SV_E_IO);
    assert_int_equal(sv_file_out_open(dir, &f), SV_E_IO);
    assert_int_equal(sv_file_out_open(in_dir("none/x"), &f), SV_E_NOTFOUND);
    assert_null(f);
    /* Endless, without a size: the limit holds all the same. */
    assert_int_equal(sv_file_read("/dev/zero", 100000, arena, &s), SV_E_LIMIT);
}

static void test_an_empty_file_maps_to_an_empty_text(void **state)
{
    (void)state;
    const char *path = in_dir("empty");
    sv_file_map m;
    assert_int_equal(sv_file_write(path, SV_STR("")), SV_OK);
    assert_int_equal(sv_file_map_open(path, &m), SV_OK);
    assert_int_equal(m.n, 0);
    assert_non_null(m.p);
    sv_file_map_close(&m);
}

static void test_a_full_disk_is_said_to_be_full(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_int_equal(sv_file_write("/dev/full", SV_STR("x")), SV_E_NOSPACE);
    assert_non_null(strstr(sv_err_text(), "/dev/full: cannot write it: the disk"));
    sv_file_out *f;
    char *data = sv_arena_new(arena, 1 << 20);
    assert_int_equal(sv_file_out_open("/dev/full", &f), SV_OK);
    assert_int_equal(sv_file_out_write(f, data, 1 << 20), SV_E_NOSPACE);
    assert_int_equal(sv_file_out_write(f, data, 1), SV_E_IO);
    assert_non_null(strstr(sv_err_text(), "earlier write failed"));
    assert_int_equal(sv_file_out_commit(f), SV_E_IO);
    sv_file_log *log;
    assert_int_equal(sv_file_log_open("/dev/full", &log), SV_OK);
    assert_int_equal(sv_file_log_write(log, SV_STR("line")), SV_E_NOSPACE);
    assert_int_equal(sv_file_log_bytes(log), 0);
    sv_file_log_close(log);
    assert_int_equal(sv_file_write("/dev/null", SV_STR("x")), SV_OK);
}

static void test_a_log_grows_is_cut_and_goes_on(void **state)
{
    (void)state;
    const char *path = in_dir("log.jsonl");
    sv_file_log *f;
    assert_int_equal(sv_file_log_open(path, &f), SV_OK);
    assert_int_equal(sv_file_log_write(f, SV_STR("one")), SV_OK);
    assert_int_equal(sv_file_log_write(f, SV_STR("two\n")), SV_OK);
    assert_int_equal(sv_file_log_sync(f), SV_OK);
    assert_int_equal(sv_file_log_bytes(f), 8);
    sv_file_log_close(f);
    assert_holds(path, "one\ntwo\n");
    assert_int_equal(sv_file_log_open(path, &f), SV_OK);
    assert_int_equal(sv_file_log_bytes(f), 8);
    assert_int_equal(sv_file_log_cut(f, 9), SV_E_FORMAT);
    assert_int_equal(sv_file_log_cut(f, 4), SV_OK);
    assert_int_equal(sv_file_log_write(f, SV_STR("three")), SV_OK);
    assert_int_equal(sv_file_log_bytes(f), 10);
    sv_file_log_close(f);
    sv_file_log_close(NULL);
    assert_holds(path, "one\nthree\n");
}

static void test_folders_are_made_listed_in_order_and_removed(void **state)
{
    (void)state;
    const char *top = in_dir("tree"), *deep = in_dir("tree/x/y//z/");
    assert_int_equal(sv_file_mkdir(deep), SV_OK);
    assert_int_equal(sv_file_mkdir(deep), SV_OK);
    assert_true(sv_file_is_dir(deep));
    static const char *const names[] = { "b", "a", "B", "\xc3\xa6", "10", "9" };
    static const char *const sorted[] = { "10", "9", "B", "a", "b", "x", "\xc3\xa6" };
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(sv_file_write(sv_path_join(arena, top, names[i]), SV_STR("1")), SV_OK);
    char **found;
    size_t n;
    assert_int_equal(sv_file_list(top, arena, &found, &n), SV_OK);
    assert_int_equal(n, 7);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(found[i], sorted[i]);
    assert_int_equal(sv_file_mkdir(in_dir("tree/a/sub")), SV_E_IO);
    assert_non_null(strstr(sv_err_text(), "exists and is not a folder"));
    assert_int_equal(sv_file_remove_tree(top), SV_OK);
    assert_false(sv_file_exists(top));
    assert_int_equal(sv_file_remove_tree(top), SV_OK);
    assert_int_equal(sv_file_list(top, arena, &found, &n), SV_E_NOTFOUND);
}

static void test_removing_a_tree_does_not_follow_links(void **state)
{
    (void)state;
    assert_int_equal(sv_file_mkdir(in_dir("kept")), SV_OK);
    assert_int_equal(sv_file_write(in_dir("kept/file"), SV_STR("safe")), SV_OK);
    assert_int_equal(sv_file_mkdir(in_dir("gone")), SV_OK);
    assert_int_equal(symlink("../kept", in_dir("gone/link")), 0);
    assert_int_equal(symlink("kept", in_dir("link")), 0);
    assert_int_equal(sv_file_remove_tree(in_dir("gone")), SV_OK);
    assert_int_equal(sv_file_remove_tree(in_dir("link")), SV_OK);
    assert_false(sv_file_exists(in_dir("link")));
    assert_holds(in_dir("kept/file"), "safe");
}

static void test_rename_replaces_and_names_a_missing_source(void **state)
{
    (void)state;
    assert_int_equal(sv_file_write(in_dir("from"), SV_STR("1")), SV_OK);
    assert_int_equal(sv_file_write(in_dir("to"), SV_STR("2")), SV_OK);
    assert_int_equal(sv_file_rename(in_dir("from"), in_dir("to")), SV_OK);
    assert_holds(in_dir("to"), "1");
    assert_int_equal(sv_file_rename(in_dir("from"), in_dir("to")), SV_E_NOTFOUND);
    assert_non_null(strstr(sv_err_text(), in_dir("from")));
}

static void test_paths_are_joined_and_taken_apart(void **state)
{
    (void)state;
    assert_string_equal(sv_path_join(arena, "a/b", "c"), "a/b/c");
    assert_string_equal(sv_path_join(arena, "a/", "c"), "a/c");
    assert_string_equal(sv_path_join(arena, "/", "c"), "/c");
    assert_string_equal(sv_path_join(arena, "", "c"), "c");
    assert_string_equal(sv_path_dir(arena, "a/b/c"), "a/b");
    assert_string_equal(sv_path_dir(arena, "a/b/"), "a");
    assert_string_equal(sv_path_dir(arena, "/x"), "/");
    assert_string_equal(sv_path_dir(arena, "/"), "/");
    assert_string_equal(sv_path_dir(arena, "x"), ".");
    assert_string_equal(sv_path_dir(arena, ""), ".");
    assert_string_equal(sv_path_dir(arena, "a//b"), "a");
    assert_string_equal(sv_path_base("a/b.c"), "b.c");
    assert_string_equal(sv_path_base("b.c"), "b.c");
    assert_string_equal(sv_path_base("a/"), "");
}

static void test_a_lock_is_held_by_one_process_and_names_it(void **state)
{
    (void)state;
    const char *path = in_dir("run.lock");
    int fd, again;
    assert_int_equal(sv_file_lock(path, &fd), SV_OK);
    /* flock belongs to the open file, so a second open in this process is refused as another process is. */
    assert_int_equal(sv_file_lock(path, &again), SV_E_BUSY);
    assert_int_equal(again, -1);
    char says[64];
    snprintf(says, sizeof says, "process %ld holds it", (long)getpid());
    assert_non_null(strstr(sv_err_text(), says));
    sv_file_unlock(fd);
    assert_int_equal(sv_file_lock(path, &fd), SV_OK);
    sv_file_unlock(fd);
    sv_file_unlock(-1);
}

static void test_the_cache_folder_follows_the_environment(void **state)
{
    (void)state;
    char *path;
    struct stat st;
    setenv("XDG_CACHE_HOME", in_dir("xdg"), 1);
    assert_int_equal(sv_file_cache_dir(arena, &path), SV_OK);
    assert_string_equal(path, in_dir("xdg/samsvar"));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", in_dir("home"), 1);
    assert_int_equal(sv_file_cache_dir(arena, &path), SV_OK);
    assert_string_equal(path, in_dir("home/.cache/samsvar"));
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_int_equal(sv_file_cache_dir(arena, &path), SV_E_NOTFOUND);
}

#ifdef SV_FAULTS
static void test_each_failing_call_of_a_write_leaves_the_old_file(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        sv_err err;
    } rows[] = {
        { "file.open:nth=1:err=EACCES", SV_E_IO },       { "file.open:nth=1:err=ENOSPC", SV_E_NOSPACE },
        { "file.write:nth=1:err=ENOSPC", SV_E_NOSPACE }, { "file.write:nth=2:err=EIO", SV_E_IO },
        { "file.write:err=EDQUOT", SV_E_NOSPACE },       { "file.fsync:nth=1:err=EIO", SV_E_IO },
        { "file.fsync:err=ENOSPC", SV_E_NOSPACE },       { "file.rename:err=EROFS", SV_E_IO },
    };
    const char *path = in_dir("whole");
    sv_str large = { sv_arena_new(arena, 600000), 600000 };
    assert_int_equal(sv_file_write(path, SV_STR("old")), SV_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sv_file_out *f;
        sv_fault_set(rows[i].rule);
        sv_err e = sv_file_out_open(path, &f);
        if (e == SV_OK) {
            e = sv_file_out_write(f, "small", 5);
            e = e == SV_OK ? sv_file_out_write(f, large.p, large.n) : e;
            if (e != SV_OK)
                sv_file_out_abort(f);
            else
                e = sv_file_out_commit(f);
        }
        sv_fault_set(NULL);
        if (e != rows[i].err)
            fail_msg("%s: %s (%s)", rows[i].rule, sv_err_name(e), sv_err_text());
        assert_holds(path, "old");
        assert_int_equal(count_files(".samsvar-"), 0);
    }
}

static void test_a_failed_fsync_is_not_tried_again(void **state)
{
    (void)state;
    /* The second fsync would succeed; the file must not come into its place all the same. */
    sv_fault_set("file.fsync:nth=1:err=EIO");
    assert_int_equal(sv_file_write(in_dir("synced"), SV_STR("x")), SV_E_IO);
    sv_fault_set(NULL);
    assert_false(sv_file_exists(in_dir("synced")));
}

static void test_a_log_keeps_whole_lines_when_the_disk_fills(void **state)
{
    (void)state;
    const char *path = in_dir("full.jsonl");
    sv_file_log *f;
    assert_int_equal(sv_file_log_open(path, &f), SV_OK);
    assert_int_equal(sv_file_log_write(f, SV_STR("one")), SV_OK);
    sv_fault_set("file.write:err=ENOSPC,file.fsync:err=EIO");
    assert_int_equal(sv_file_log_write(f, SV_STR("two")), SV_E_NOSPACE);
    assert_int_equal(sv_file_log_sync(f), SV_E_IO);
    assert_int_equal(sv_file_log_write(f, SV_STR("three")), SV_OK);
    sv_fault_set(NULL);
    sv_file_log_close(f);
    assert_holds(path, "one\nthree\n");
}

static void test_reads_and_folders_fail_with_sentences(void **state)
{
    (void)state;
    sv_str s;
    const char *path = in_dir("r");
    assert_int_equal(sv_file_write(path, SV_STR("x")), SV_OK);
    sv_fault_set("file.read:nth=1:err=EIO,file.mkdir:err=ENOSPC,file.unlink:err=EPERM,file.rename:err=ENOSPC");
    assert_int_equal(sv_file_read(path, 10, arena, &s), SV_E_IO);
    assert_int_equal(s.n, 0);
    assert_int_equal(sv_file_mkdir(in_dir("new")), SV_E_NOSPACE);
    assert_int_equal(sv_file_remove_tree(path), SV_E_IO);
    assert_int_equal(sv_file_rename(path, in_dir("r2")), SV_E_NOSPACE);
    sv_fault_set("file.open:from=2:err=EMFILE");
    assert_int_equal(sv_file_read(path, 10, arena, &s), SV_OK);
    assert_int_equal(sv_file_read(path, 10, arena, &s), SV_E_IO);
    assert_int_equal(sv_file_read(path, 10, arena, &s), SV_E_IO);
    assert_non_null(strstr(sv_err_text(), "ulimit -n"));
    sv_fault_set(NULL);
}

static void test_a_process_that_dies_while_writing_leaves_old_or_new(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *holds;
        size_t n_temp;
    } rows[] = { { "die:file_out.written", "old", 1 },
                 { "die:file_out.synced", "old", 1 },
                 { "die:file_out.renamed", "new", 0 } };
    const char *path = in_dir("dying");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sv_file_write(path, SV_STR("old")), SV_OK);
        pid_t child = fork();
        if (child == 0) {
            sv_fault_set(rows[i].rule);
            sv_file_write(path, SV_STR("new"));
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 137);
        assert_holds(path, rows[i].holds);
        assert_int_equal(count_files(".samsvar-"), rows[i].n_temp);
        char **names;
        size_t n;
        assert_int_equal(sv_file_list(dir, arena, &names, &n), SV_OK);
        for (size_t k = 0; k < n; k++)
            if (strncmp(names[k], ".samsvar-", 9) == 0)
                unlink(in_dir(names[k]));
    }
}

static void test_a_fault_rule_that_cannot_be_read_aborts(void **state)
{
    (void)state;
    static const char *const rules[] = { "file.wirte:nth=1", "file.write:nth=0", "file.write:err=EWHAT", "nonsense",
                                         "die" };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        pid_t child = fork();
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            close(STDERR_FILENO);
            sv_fault_set(rules[i]);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_a_write_larger_than_the_buffer_arrives_whole),
        cmocka_unit_test(test_nothing_is_seen_before_commit_and_abort_leaves_the_old_file),
        cmocka_unit_test(test_missing_and_wrong_files_are_named),
        cmocka_unit_test(test_an_empty_file_maps_to_an_empty_text),
        cmocka_unit_test(test_a_full_disk_is_said_to_be_full),
        cmocka_unit_test(test_a_log_grows_is_cut_and_goes_on),
        cmocka_unit_test(test_folders_are_made_listed_in_order_and_removed),
        cmocka_unit_test(test_removing_a_tree_does_not_follow_links),
        cmocka_unit_test(test_rename_replaces_and_names_a_missing_source),
        cmocka_unit_test(test_paths_are_joined_and_taken_apart),
        cmocka_unit_test(test_a_lock_is_held_by_one_process_and_names_it),
        cmocka_unit_test(test_the_cache_folder_follows_the_environment),
#ifdef SV_FAULTS
        cmocka_unit_test(test_each_failing_call_of_a_write_leaves_the_old_file),
        cmocka_unit_test(test_a_failed_fsync_is_not_tried_again),
        cmocka_unit_test(test_a_log_keeps_whole_lines_when_the_disk_fills),
        cmocka_unit_test(test_reads_and_folders_fail_with_sentences),
        cmocka_unit_test(test_a_process_that_dies_while_writing_leaves_old_or_new),
        cmocka_unit_test(test_a_fault_rule_that_cannot_be_read_aborts),
#endif
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
