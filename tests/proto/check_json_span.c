#include <string.h>

#include "proto/json_span.h"
#include "tests/common/run.h"

static void expect(const char *json, size_t nth, const char *want)
{
    struct buf out = BUF_INIT;
    struct json_span span;
    size_t at = 0;

    for (size_t i = 0; i <= nth; i++)
        span = json_span_next(json, strlen(json), &at);
    json_span_compact(span, &out);
    ck_assert_str_eq(out.data, want);
    buf_free(&out);
}

START_TEST(members)
{
    const char *json = " {\"a\" : 1 , \"b\":{\"x\":[1,{}, \"}\"]},"
                       "\"c\\\",:\": \"q\\\\\" , \"d\": [ ] }";

    expect(json, 0, "1");
    expect(json, 1, "{\"x\":[1,{},\"}\"]}");
    expect(json, 2, "\"q\\\\\"");
    expect(json, 3, "[]");
}
END_TEST

START_TEST(spelling_is_kept)
{
    expect("{\"m\":{\"x\":0.10,\"y\":1E5,\"z\":-0.0}}", 0,
           "{\"x\":0.10,\"y\":1E5,\"z\":-0.0}");
    expect("{\"m\": {\"a b\" :\t\"c  d\\u00e9\\/\" }}", 0,
           "{\"a b\":\"c  d\\u00e9\\/\"}");
    expect("{\"m\":{ }}", 0, "{}");
}
END_TEST

int main(void)
{
    return RUN_TESTS("json_span", members, spelling_is_kept);
}
