#!/usr/bin/env bash
# tests/e2e/openai.sh - outputs and errors, read by OpenAI's own package
#
# SKEIN_OPENAI_PYTHON names a Python that can import `openai`; without it the
# test is skipped.
# shellcheck source-path=SCRIPTDIR source=lib.sh
python=${SKEIN_OPENAI_PYTHON:-} # before lib.sh unsets what begins like this
. "$(dirname "$0")/lib.sh"

[ -n "$python" ] || skip "SKEIN_OPENAI_PYTHON is not set"
"$python" -c 'import openai' || fail "$python cannot import openai"

cp "$SRC/tests/e2e/records.jsonl" in.jsonl
expect 1 skein run -q in.jsonl -m "$SRC/examples/model" --created 0 -d cpu \
    -o out.jsonl -e errors.jsonl
expect 0 "$python" "$SRC/tests/e2e/openai_check.py" out.jsonl errors.jsonl
say "$OUT"
