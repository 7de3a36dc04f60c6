#!/usr/bin/env python3
"""tests/client/schema.py SCHEMAS FILE... - validate what --json printed

A file named KIND.WHAT.json must hold one document that SCHEMAS/KIND.json
allows, one named KIND-list.WHAT.json an array of them. Prints what is wrong.
"""
import json
import pathlib
import sys

import jsonschema


def load(folder):
    """The validators by kind; a schema that is none itself ends the run."""
    validators = {}
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        schema = json.loads(path.read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        validators[path.stem] = jsonschema.Draft202012Validator(schema)
    return validators


def check(validators, path):
    """Print the mistakes of one file; their number."""
    kind = path.name.split(".")[0]
    is_list = kind.endswith("-list")
    validator = validators[kind.removesuffix("-list")]
    try:
        document = json.loads(path.read_text())
    except ValueError as error:
        print(f"{path.name}: {error}")
        return 1
    if is_list and (not isinstance(document, list) or not document):
        print(f"{path.name}: not a list with something in it")
        return 1
    errors = 0
    for item in document if is_list else [document]:
        for error in validator.iter_errors(item):
            print(f"{path.name}: {error.json_path}: {error.message}")
            errors += 1
    return errors


def main():
    validators = load(sys.argv[1])
    return min(sum(check(validators, pathlib.Path(f)) for f in sys.argv[2:]), 99)


if __name__ == "__main__":
    sys.exit(main())
