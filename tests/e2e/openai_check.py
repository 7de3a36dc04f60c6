#!/usr/bin/env python3
"""Read the files of a batch with the types of OpenAI's package.

Usage: openai_check.py OUTPUT ERRORS
Every line must be an answer or an error of OpenAI's batch API; native lines
are passed over. Types are checked strictly: no value is converted.
"""
import json
import sys

from openai.types import BatchError, Completion, ErrorObject
from openai.types.chat import ChatCompletion

ENVELOPE = {"id", "custom_id", "response", "error", "line"}
MODELS = {
    "text_completion": Completion,
    "chat.completion": ChatCompletion,
}
counts = {}


def count(what):
    counts[what] = counts.get(what, 0) + 1


def known_fields(model, value, where):
    """Nothing in `value` that the type does not have."""
    extra = model.model_extra or {}
    assert not extra, f"{where}: unknown to the type: {sorted(extra)}"
    for name in type(model).model_fields:
        member = getattr(model, name, None)
        for one in member if isinstance(member, list) else [member]:
            if hasattr(one, "model_extra"):
                known_fields(one, value, f"{where}.{name}")


def parse(model_type, value, where):
    model = model_type.model_validate(value, strict=True)
    known_fields(model, value, where)
    return model


def without_first(choice, where):
    """The first token of an echoed prompt has no log-probability: OpenAI's
    service sends null there, as vLLM does, which its package's type (List[float])
    forgets. It is taken out before the type has its say.
    """
    logprobs = choice["logprobs"]
    if not logprobs or not logprobs["tokens"]:
        return choice
    arrays = {name: logprobs[name] for name in
              ("tokens", "token_logprobs", "top_logprobs", "text_offset")}
    assert len({len(a) for a in arrays.values()}) == 1, where
    if logprobs["token_logprobs"][0] is not None:
        return choice
    assert logprobs["top_logprobs"][0] is None, where
    return dict(choice, logprobs={n: a[1:] for n, a in arrays.items()})


def check_line(line, is_error, where):
    if "custom_id" not in line:
        count("native")
        return
    assert set(line) == ENVELOPE, f"{where}: keys {sorted(line)}"
    assert line["id"].startswith("batch_req_"), where
    assert isinstance(line["line"], int) and line["line"] >= 1, where
    response = line["response"]
    if response is None:
        parse(BatchError, line["error"], where)
        count("never ran")
        return
    assert line["error"] is None, where
    assert response["request_id"].startswith("req_"), where
    assert (response["status_code"] != 200) == is_error, where
    if is_error:
        assert set(response["body"]) == {"error"}, where
        error = parse(ErrorObject, response["body"]["error"], where)
        assert error.message and error.code and error.type, where
        count("error")
        return
    body = response["body"]
    count(body["object"])
    if body["object"] in MODELS:
        MODELS[body["object"]].construct(**body)  # as the package itself does
        if body["object"] == "text_completion":
            body = dict(body, choices=[without_first(c, where)
                                       for c in body["choices"]])
        model = parse(MODELS[body["object"]], body, where)
        assert [c.index for c in model.choices] == list(
            range(len(model.choices))), where
        usage = model.usage
        assert usage.total_tokens == (usage.prompt_tokens +
                                      usage.completion_tokens), where


def main():
    for path, is_error in ((sys.argv[1], False), (sys.argv[2], True)):
        with open(path, encoding="utf-8") as lines:
            for number, text in enumerate(lines, 1):
                check_line(json.loads(text), is_error, f"{path}:{number}")
    for what in ("text_completion", "chat.completion", "error"):
        assert counts.get(what, 0) > 0, f"no {what} in the files"
    print(", ".join(f"{n} {what}" for what, n in sorted(counts.items())))


main()
