#include "worker/config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct config c;
static struct err err;
static enum config_action action;
static char path[] = "/tmp/skein-check-config-XXXXXX";

#define READ(...) \
    read_args((char *[]){(char *)"skein-worker", __VA_ARGS__, NULL})

static int read_args(char **argv)
{
    int argc = 0;

    while (argv[argc] != NULL)
        argc++;
    err = (struct err){0};
    return config_read(argc, argv, &c, &action, &err);
}

static char *file(const char *text)
{
    FILE *f;

    strcpy(path + strlen(path) - 6, "XXXXXX");
    f = fdopen(mkstemp(path), "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static void teardown(void)
{
    config_free(&c);
    unlink(path);
}

static const struct config_model *model(void)
{
    return c.models.item;
}

START_TEST(defaults)
{
    ck_assert_int_eq(READ((char *)"--model", (char *)"m=some=path"), 0);
    ck_assert_int_eq(action, CONFIG_RUN);
    ck_assert_str_eq(model()->name, "m");
    ck_assert_str_eq(model()->path, "some=path");
    ck_assert_uint_eq(c.devices.n, 1);
    ck_assert_str_eq(c.devices.item[0], "auto");
    ck_assert_int_eq(c.gather_ms, 100);
}
END_TEST

/* The command line wins, whatever the order. */
START_TEST(file_then_command_line)
{
    char *at = file("connect: tcp://127.0.0.1:1\n"
                    "slots: 9\n"
                    "tokens_per_step: 77\n"
                    "devices: [cpu, cpu]\n"
                    "models:\n  - name: a\n    path: p\n    tokenizer: t\n");

    ck_assert_msg(READ((char *)"--slots", (char *)"11", (char *)"--devices",
                       (char *)"null,cpu,null", (char *)"--config", at,
                       (char *)"--model", (char *)"b=q")
                      == 0,
                  "%s", err.text);
    ck_assert_int_eq(c.slots, 11);
    ck_assert_int_eq(c.tokens_per_step, 77);
    ck_assert_str_eq(c.connect, "tcp://127.0.0.1:1");
    ck_assert_uint_eq(c.devices.n, 3);
    ck_assert_str_eq(c.devices.item[2], "null");
    ck_assert_str_eq(model()->name, "b");
    ck_assert_str_eq(model()->path, "q");
    ck_assert_str_eq(model()->tokenizer, "t");
}
END_TEST

static const struct wrong {
    char *arg[2];
    enum err_code code;
    const char *part; /* of the text */
} wrongs[] = {
    {{(char *)"--slotz", (char *)"3"}, ERR_USAGE, "did you mean --slots?"},
    {{(char *)"--slots", (char *)"1"}, ERR_USAGE, "2..4096"},
    {{(char *)"--slots", (char *)"7x"}, ERR_USAGE, "'7x'"},
    {{(char *)"--tokens-per-step", (char *)"0"}, ERR_USAGE, "1..65536"},
    {{(char *)"--model", (char *)"noname"}, ERR_USAGE, "NAME=PATH"},
    {{(char *)"--model", (char *)"=x"}, ERR_USAGE, "NAME=PATH"},
    {{(char *)"--devices", (char *)"cpu,,cpu"}, ERR_USAGE, "commas"},
    {{(char *)"--log-level", (char *)"loud"},
     ERR_USAGE,
     "'loud' is not one of"},
    {{(char *)"--name", (char *)""}, ERR_USAGE, "option --name"},
    {{(char *)"extra", (char *)"--check-config"}, ERR_USAGE, "extra"},
    {{(char *)"--check-config", (char *)"--connect"}, ERR_USAGE, "--connect"},
    {{(char *)"--comm", (char *)"mpi"}, ERR_USAGE, "auto, nccl, local"},
    {{(char *)"--connect", (char *)"http://x"}, ERR_CONFIG, "http://x"},
    {{(char *)"--config", (char *)"/nonexistent.yaml"},
     ERR_CONFIG,
     "/nonexistent.yaml"},
};

START_TEST(what_is_wrong_is_named)
{
    const struct wrong *w = &wrongs[_i];

    ck_assert_int_eq(
        READ((char *)"--model", (char *)"m=p", w->arg[0], w->arg[1]), -1);
    ck_assert_int_eq(err.code, w->code);
    ck_assert_msg(strstr(err.text, w->part) != NULL, "\"%s\" lacks \"%s\"",
                  err.text, w->part);
}
END_TEST

START_TEST(no_model)
{
    ck_assert_int_eq(READ((char *)"--check-config"), -1);
    ck_assert_int_eq(err.code, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "--model NAME=PATH"));
}
END_TEST

START_TEST(several_models)
{
    char *at = file("models:\n  - name: a\n  - name: b\n");

    ck_assert_int_eq(READ((char *)"--config", at), -1);
    ck_assert_ptr_nonnull(
        strstr(err.text, "several models per worker come with issue 7"));
}
END_TEST

START_TEST(the_documented_file_is_good)
{
    ck_assert_msg(READ((char *)"--config", (char *)"conf/skein-worker.yaml")
                      == 0,
                  "%s", err.text);
    ck_assert_int_eq(c.stall_s, 0);
    ck_assert_int_eq(c.start_s, 900);
    ck_assert_int_eq(c.drain_s, 30);
    ck_assert_int_eq(c.encode_threads, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config");
    TCase *t = tcase_create("config");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(t, NULL, teardown);
    tcase_add_test(t, defaults);
    tcase_add_test(t, file_then_command_line);
    tcase_add_loop_test(t, what_is_wrong_is_named, 0,
                        (int)(sizeof wrongs / sizeof *wrongs));
    tcase_add_test(t, no_model);
    tcase_add_test(t, several_models);
    tcase_add_test(t, the_documented_file_is_good);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
