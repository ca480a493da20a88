"""Ways in which a file can be wrong, drawn from a Generator: the same seed makes the same damage."""

import io
import json
import re
import zipfile
from collections.abc import Callable

import numpy as np

TOKENS = (
    "1e400", "-1", "0", "-0.0", "99999999999999999999999", "1" + "0" * 400, "2147483648", "9223372036854775807",
    "4294967295", "1000000000", "nan", "inf", "null", "true", '""', "[]", "{}", "[[[]]]", '"../../../x"',
    '"\\u0000"', '"\\ud800"', '"<script>alert(1)</script>"', '"' + "x" * 70_000 + '"', '"\u202e\U0001f600"',
    "[" * 20_000, "[" * 3_000 + "]" * 3_000, '{"a":' * 3_000 + "1" + "}" * 3_000, "a.b.c.d", "'", "\r", ",,,,",
    '"/etc/passwd"', "1979-05-27",
)  # fmt: skip
VALUES = (
    None, True, -1, 0, 1.5, 10**9, 2**31, 2**63, 10**30, float("nan"), float("inf"), "", "many", "../../../x", "\x00",
    "<img src=x onerror=alert(1)>", "x" * 70_000, [], {}, [[]], {"a": None}, [1, "2", None], {"../x": "y"},
)  # fmt: skip
HUGE = (2**31 - 1, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1)
Mutation = Callable[[bytes, np.random.Generator], bytes]


def mutated(data: bytes, kind: str, rng: np.random.Generator) -> tuple[bytes, str]:
    """`data` damaged one to three times in ways that suit its kind, and what was done."""
    ways = [*BINARY, *OF_KIND.get(kind, ())]
    done = []
    for _ in range(int(rng.integers(1, 4))):
        way = ways[rng.integers(len(ways))]
        data = way(data, rng)
        done.append(way.__name__)
    return data, "+".join(done)


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    made = bytearray(data)
    for _ in range(int(rng.integers(1, 9)) if made else 0):
        made[rng.integers(len(made))] ^= 1 << int(rng.integers(8))
    return bytes(made)


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def splice(data: bytes, rng: np.random.Generator) -> bytes:
    """A stretch of the file once more, somewhere else."""
    a, b, at = (*sorted(rng.integers(len(data) + 1, size=2).tolist()), int(rng.integers(len(data) + 1)))
    return data[:at] + data[a:b] + data[at:]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    a, b = np.sort(rng.integers(len(data) + 1, size=2))
    return data[:a] + data[b:]


def zeros(data: bytes, rng: np.random.Generator) -> bytes:
    at, length = int(rng.integers(len(data) + 1)), int(rng.integers(1, 600))
    return data[:at] + bytes(length) + data[at + length :]


def length(data: bytes, rng: np.random.Generator) -> bytes:
    """A huge number where a length may stand: at the head, at the tail, or anywhere."""
    size = int(rng.choice([4, 8]))
    number = (HUGE[rng.integers(len(HUGE))] % 2 ** (8 * size)).to_bytes(size, "little")
    at = [0, max(0, len(data) - 8), int(rng.integers(len(data) + 1))][rng.integers(3)]
    return data[:at] + number + data[at + size :]


def noise(data: bytes, rng: np.random.Generator) -> bytes:
    """Nothing of what was there."""
    return rng.bytes(int(rng.integers(0, 4_000)))


def token(data: bytes, rng: np.random.Generator) -> bytes:
    """A number, a word or a string of a text file replaced by something that does not belong there."""
    text = data.decode("utf-8", "replace")
    found = list(re.finditer(r'"(?:[^"\\\n]|\\.)*"|[\w.+-]+', text))
    if not found:
        return data
    hit = found[rng.integers(len(found))]
    put = TOKENS[rng.integers(len(TOKENS))]
    return (text[: hit.start()] + put + text[hit.end() :]).encode("utf-8", "surrogatepass")


def line(data: bytes, rng: np.random.Generator) -> bytes:
    """A line lost, said twice, or moved."""
    lines = data.split(b"\n")
    one = lines.pop(int(rng.integers(len(lines))))
    for _ in range(int(rng.integers(3))):
        lines.insert(int(rng.integers(len(lines) + 1)), one)
    return b"\n".join(lines)


def encoding(data: bytes, rng: np.random.Generator) -> bytes:
    text = data.decode("utf-8", "replace")
    return [b"\xff\xfe" + data, text.encode("utf-16"), b"\xef\xbb\xbf" + data, text.encode("utf-32")][rng.integers(4)]


def value(data: bytes, rng: np.random.Generator) -> bytes:
    """JSON that is still JSON: one value, at any depth, of another type or size, or gone."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return token(data, rng)
    return json.dumps(_changed(tree, rng)).encode()


def header(data: bytes, rng: np.random.Generator) -> bytes:
    """safetensors whose header was changed, with its length put right."""
    size = int.from_bytes(data[:8], "little")
    if size > len(data):
        return flip(data, rng)
    new = (value if rng.random() < 0.7 else token)(data[8 : 8 + size].rstrip(), rng)
    return len(new).to_bytes(8, "little") + new + data[8 + size :]


def entry(data: bytes, rng: np.random.Generator) -> bytes:
    """A zip (which a .pt file is) with one member damaged, its checksum and its table right."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError):
        return flip(data, rng)
    if not members:
        return data
    name = list(members)[rng.integers(len(members))]
    if rng.random() < 0.7:
        name = next((n for n in members if n.endswith("data.pkl")), name)
    ways = (flip, truncate, splice, cut, length)
    members[name] = ways[rng.integers(len(ways))](members[name], rng)
    if rng.random() < 0.1:
        del members[name]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def _changed(tree, rng: np.random.Generator):
    if isinstance(tree, dict) and tree and rng.random() < 0.85:
        key = list(tree)[rng.integers(len(tree))]
        if rng.random() < 0.1:
            return {k: v for k, v in tree.items() if k != key}
        if rng.random() < 0.05:
            return {("../" * 4 + "x" if k == key else k): v for k, v in tree.items()}
        return tree | {key: _changed(tree[key], rng)}
    if isinstance(tree, list) and tree and rng.random() < 0.85:
        at = int(rng.integers(len(tree)))
        return [*tree[:at], _changed(tree[at], rng), *tree[at + 1 :]]
    return VALUES[rng.integers(len(VALUES))]


BINARY: tuple[Mutation, ...] = (flip, truncate, splice, cut, zeros, length, noise)
OF_KIND: dict[str, tuple[Mutation, ...]] = {
    "text": (token, token, token, token, line, line, encoding),
    "json": (value, value, value, value, value, value, token, token, token, line, encoding),
    "safetensors": (header, header, header, header),
    "zip": (entry, entry, entry, entry, entry),
}
