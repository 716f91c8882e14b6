"""Damage to valid files: bytes, the values of JSON and YAML, tables of a database. Seeded, so repeatable.

A mutation takes a file's bytes and a random generator and returns other bytes. Those that know a format leave
most of the file valid, to come past the first check.
"""

from __future__ import annotations

import copy
import json
import sqlite3
import struct
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import yaml

Mutation = Callable[[bytes, Random], bytes]

BIG = [2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**400]
NUMBERS = [
    0, 1, -1, 2, 3, 7, 255, 65537, *BIG, *(-number for number in BIG), 0.5, -0.0, 1e308, -1e308, 5e-324, 1e39,
    float("nan"), float("inf"), -float("inf"),
]  # fmt: skip
SIZES = [
    [], [0], [1], [2**62, 4], [2**32, 2**32], [2**63, 2], [2**31] * 4, [7, 0], [-1, 6], [-1, -1, 4], [1] * 99,
]  # fmt: skip
TEXTS = [
    "", ".", "..", "*", "[", "[!", "(?", "../../etc/passwd", "/etc/passwd", "a\0b", "\x1b[2J", "ß" * 300,
    "\ud800", "[bold]x", "[/]", "{x}", "%s", "\n", "\u202e", "w1a1", "w32a32", "w3a3", "accuracy", "latency",
    "latency@pi5", "1 year", "60KB", "-1us", "1e999s", "nanus", "complete", "failed", "stopped", "tpe", "gp",
    "os:system", "task.py:f", "1" * 5000, "2026-13-45T99:99:99Z", "=1+1",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, [], {}, [[]], {"": None}, {"a": 1}, [None], *TEXTS, *NUMBERS, *SIZES,
]  # fmt: skip
JSON_PIECES = [
    "NaN", "-Infinity", "1e999", "-0", "9" * 5000, "[" * 100_000, '{"a":' * 50_000, '"\\ud800"', "\\u0000",
    "\ufeff", "//", ",", '"', "}", "]", "null", '{"__class__": "os.system"}', "1e-999", "0x10", "'",
]  # fmt: skip
YAML_PIECES = [
    "!!python/object/apply:os.system [id]", "!!python/name:os.system", "!!binary aGk=", "!!binary '?'",
    "!!set {a, b}", "!!omap [a: 1]", "!!timestamp 2001-99-99", "2001-13-45", "!!float x", "!!int x",
    "!!bool q", "!!null x", "!x y", "&a [*a]", "&a", "*a", "<<: *a", "<<: {schema: 1}", "? [a, b] : c",
    "? {a: b}\n: c",
    "0x" + "f" * 6000, "1" + ":59" * 3000, "0b" + "1" * 20_000, "1_" * 3000, ".inf", "-.inf", ".nan", "1e999",
    "[" * 20_000, "{a: " * 5000, "- " * 5000, "%YAML 9.9\n---\n", "---\n", "...\n", "\t", "\ufeff", "\x85",
    "|", ">9", "\\", "'", '"\\ud800"', '"\\U00110000"', "# x", "=", "y", "~", "@", "`", "a: b: c", "9" * 5000,
]  # fmt: skip


def truncated(data: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def lengthened(data: bytes, rng: Random) -> bytes:
    tail = rng.choice([rng.randbytes(rng.choice([1, 8, 4096])), data, b"\0" * 512, b"\n", b"{}", b"\xff\xfe"])
    return data + tail


def bits_flipped(data: bytes, rng: Random) -> bytes:
    content = bytearray(data or b"\0")
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        place = rng.randrange(8 * len(content))
        content[place // 8] ^= 1 << place % 8
    return bytes(content)


def bytes_replaced(data: bytes, rng: Random) -> bytes:
    start, length = rng.randrange(len(data) + 1), rng.choice([1, 4, 8, 100])
    other = rng.randrange(len(data) + 1)
    piece = rng.choice(
        [b"\0" * length, b"\xff" * length, rng.randbytes(length), data[other : other + length], b""]
    )
    return data[:start] + piece + data[start + rng.choice([0, length]) :]


def another_content(data: bytes, rng: Random) -> bytes:
    pieces = [b"{", b"}", b"[", b"]", b":", b",", b'"a"', b"1", b"\n", b" ", b"-", b"null", b"1e9", b"a: b\n"]
    return rng.choice(
        [
            b"",
            b"\x89PNG\r\n\x1a\n" + rng.randbytes(30),
            b"\x80\x04\x95" + rng.randbytes(30),
            rng.randbytes(rng.choice([1, 16, 300])),
            json.dumps(rng.choice(VALUES)).encode(),
            b"".join(rng.choices(pieces, k=rng.randrange(1, 60))),
            data[len(data) // 2 :],
            data.decode(errors="replace").encode("utf-16"),
        ]
    )


def lines_moved(data: bytes, rng: Random) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    for _ in range(rng.choice([1, 1, 3])):
        one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        match rng.randrange(4):
            case 0:
                lines[one], lines[other] = lines[other], lines[one]
            case 1:
                lines.insert(one, lines[other])
            case 2:
                lines[one] = rng.choice([b"\n", lines[one].strip() + lines[other], lines[one][:-10] + b"\n"])
            case _ if len(lines) > 1:
                del lines[one]
    return b"".join(lines)


BYTES: list[Mutation] = [
    truncated, lengthened, bits_flipped, bytes_replaced, another_content, lines_moved,
]  # fmt: skip


def tree_changed(tree: Any, rng: Random) -> Any:
    """Any value in any place; keys lost, added, renamed; entries doubled. `tree` is changed, and returned."""
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        node = tree
        while isinstance(node, dict | list) and node:
            key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
            if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.15:
                break
            node = node[key]
        else:
            return copy.deepcopy(rng.choice(VALUES))
        match rng.randrange(8):
            case 0:
                del node[key]
            case 1 if isinstance(node, dict):
                node[rng.choice([*TEXTS, f"{key}x"])] = node.pop(key)
            case 2 if isinstance(node, dict):
                node[rng.choice([*TEXTS, f"{key}x", "schema"])] = copy.deepcopy(
                    rng.choice([node[key], *VALUES])
                )
            case 3 if isinstance(node, list):
                node.insert(rng.randrange(len(node) + 1), copy.deepcopy(rng.choice([node[key], *VALUES])))
            case 4 if isinstance(node[key], int | float):
                node[key] = rng.choice(
                    [node[key] + 1, -node[key], str(node[key]), [node[key]], node[key] * 1e9]
                )
            case 5:
                node[key] = rng.choice(NUMBERS)
            case _:
                node[key] = copy.deepcopy(rng.choice(VALUES))
    return tree


def json_changed(data: bytes, rng: Random) -> bytes:
    return json.dumps(tree_changed(json.loads(data), rng)).encode()


def json_text_changed(data: bytes, rng: Random) -> bytes:
    return _piece_put_in(data, rng, JSON_PIECES)


def json_lines_changed(data: bytes, rng: Random) -> bytes:
    lines = data.splitlines()
    place = rng.randrange(len(lines))
    change = rng.choice([json_changed, json_changed, json_changed, json_text_changed])
    lines[place] = change(lines[place], rng)
    return b"\n".join(lines) + b"\n"


def yaml_changed(data: bytes, rng: Random) -> bytes:
    changed = tree_changed(yaml.safe_load(data), rng)
    flow = rng.choice([None, True, False])
    text = yaml.safe_dump(changed, sort_keys=False, allow_unicode=rng.random() < 0.5, default_flow_style=flow)
    return _ended_as(data, text.encode(errors="surrogatepass"))


def yaml_text_changed(data: bytes, rng: Random) -> bytes:
    return _ended_as(data, _piece_put_in(data, rng, YAML_PIECES))


def _ended_as(data: bytes, changed: bytes) -> bytes:
    """With the comment at the end that the space of a run must have."""
    last = data.rstrip().rpartition(b"\n")[2]
    return changed + b"\n" + last + b"\n" if last.startswith(b"#") else changed


def _piece_put_in(data: bytes, rng: Random, pieces: list[str]) -> bytes:
    """Half the time in the place of a value, where it may be valid."""
    text = data.decode(errors="replace")
    piece = rng.choice(pieces)
    if rng.random() < 0.5:
        starts = [at + 2 for at in range(len(text) - 2) if text[at : at + 2] == ": "]
        if starts:
            start = rng.choice(starts)
            end = next((at for at in range(start, len(text)) if text[at] in ",}\n"), len(text))
            return (text[:start] + piece + text[end:]).encode()
    place = rng.randrange(len(text) + 1)
    return (text[:place] + piece + text[place + rng.randrange(3) :]).encode()


def header_changed(data: bytes, rng: Random) -> bytes:
    """Of a safetensors file: types, shapes and offsets that claim something else than what is there."""
    length = struct.unpack("<Q", data[:8])[0]
    if rng.random() < 0.2:
        size = len(data)
        claimed = rng.choice([0, 1, 2, size - 8, size, 2**31, 2**32, 10**8, 2**63, 2**64 - 1])
        return struct.pack("<Q", claimed) + data[8:]
    text = json.dumps(tree_changed(json.loads(data[8 : 8 + length]), rng)).encode()
    text += b" " * rng.choice([0, 0, 1, 8])
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def numbers_changed(data: bytes, rng: Random) -> bytes:
    """Scales, thresholds and biases that are no numbers, or have products that are none."""
    content = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        value = rng.choice([float("nan"), float("inf"), 0.0, -0.0, -1.0, 1e-45, 1e-39, 3e38, -3e38, 1e20])
        struct.pack_into("<f", content, rng.randrange(len(content) - 4), value)
    return bytes(content)


def database_changed(data: bytes, rng: Random) -> bytes:
    """Rows, types and tables of a study that SQLite itself finds sound."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "study.db"
        path.write_bytes(data)
        connection = sqlite3.connect(path)
        with suppress(sqlite3.Error):
            _change_rows(connection, rng)
            connection.commit()
        connection.close()
        return path.read_bytes()


def _change_rows(connection: sqlite3.Connection, rng: Random) -> None:
    for _ in range(rng.choice([1, 1, 2])):
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        if "trial_user_attributes" not in tables:
            return
        if rng.random() < 0.5:  # what most of the code reads
            short = "SELECT rowid, value_json FROM trial_user_attributes WHERE length(value_json) < 1000000"
            rows = connection.execute(short).fetchall()
            if not rows:
                return
            row, text = rng.choice(rows)
            change = rng.choice([json_changed, json_changed, json_changed, json_text_changed, bits_flipped])
            value: Any = change(text.encode(), rng)
            with suppress(UnicodeDecodeError):
                value = value.decode()
            connection.execute(
                "UPDATE trial_user_attributes SET value_json = ? WHERE rowid = ?", (value, row)
            )
            continue
        table = rng.choice(tables)
        columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
        column = rng.choice(columns)
        number = connection.execute(f'SELECT max(rowid) FROM "{table}"').fetchone()[0] or 1
        row = rng.randrange(1, number + 1)
        match rng.randrange(9):
            case 0:
                connection.execute(f'DELETE FROM "{table}" WHERE rowid = ?', (row,))
            case 1:
                connection.execute(f'DELETE FROM "{table}"')
            case 2:
                connection.execute(f'DROP TABLE "{table}"')
            case 3:
                connection.execute(f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO odd')
            case 4:
                connection.execute("PRAGMA writable_schema = ON")
                query = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
                listed = ", ".join(f'x AS "{name}"' for name in columns)
                connection.execute(f'DROP TABLE "{table}"')
                connection.execute(f'CREATE VIEW "{table}" AS {query} SELECT {listed} FROM c')
            case 5:
                kind = rng.choice(
                    ["zeroblob(300000000)", "printf('%.*c', 300000000, 'x')", "abs(-5)", "NULL"]
                )
                connection.execute(f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO odd')
                connection.execute(
                    f'ALTER TABLE "{table}" ADD COLUMN "{column}" TEXT GENERATED ALWAYS AS ({kind}) VIRTUAL'
                )
            case _:
                value = rng.choice([None, 0, 1, -1, 2**62, 1e300, "", "x", b"\xff\0", "RUNNING", "COMPLETE",
                                    "FAIL", "PRUNED", "WAITING", '{"begun": 1}', "[]", "{}"])  # fmt: skip
                connection.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (value, row))


KNOWING: Mapping[str, list[Mutation]] = {
    ".json": [json_changed, json_changed, json_text_changed],
    ".jsonl": [json_lines_changed, json_lines_changed],
    ".yaml": [yaml_changed, yaml_text_changed],
    ".safetensors": [header_changed, header_changed],
    ".bin": [numbers_changed],
    ".db": [database_changed, database_changed],
}
_UNFIT = (
    AttributeError,  # of PyYAML, at an odd date
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    RecursionError,
    struct.error,
    yaml.YAMLError,
    OverflowError,
)


def mutated(name: str, data: bytes, rng: Random) -> bytes:
    """The file damaged once, sometimes twice; most often in a way that knows its format."""
    for _ in range(rng.choice([1, 1, 1, 2])):
        mutation = rng.choice(KNOWING[Path(name).suffix] if rng.random() < 0.7 else BYTES)
        try:
            data = mutation(data, rng)
        except _UNFIT:  # an earlier one left nothing that this one understands
            data = rng.choice(BYTES)(data, rng)
    return data
