"""Of benchmarks/fuzz.py: atheris chooses which damaged files to damage further, by the code they reach.

    python benchmarks/fuzz_guided.py SAMPLES LOADER OUT [options of libFuzzer]

An input is the files that differ from the valid ones, one after the other. OUT/found.json tells what came.
"""

from __future__ import annotations

import json
import logging
import struct
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["mpsearch", "yaml"]):
    from fuzz_loaders import LOADERS, Files
    from fuzz_samples import samples_in
from fuzz_mutations import mutated


def main() -> None:
    samples, name, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    warnings.simplefilter("ignore")
    logging.disable()
    own = tempfile.TemporaryDirectory(prefix="mpsearch-fuzz-", dir="/dev/shm")
    loader = LOADERS[name](samples_in(samples), Path(own.name) / "it")
    names = sorted(part for part, content in loader.pristine.items() if content)
    ends: Counter[str] = Counter()
    crashes: dict[str, str] = {}

    def packed(files: Files) -> bytes:
        return b"".join(
            struct.pack("<BI", place, len(files[part] or b"")) + (files[part] or b"")
            for place, part in enumerate(names)
            if files[part] != loader.pristine[part]
        )

    def unpacked(data: bytes) -> Files:
        files = dict(loader.pristine)
        while len(data) >= 5:
            place, size = struct.unpack_from("<BI", data)
            files[names[place % len(names)]] = data[5 : 5 + size]
            data = data[5 + size :]
        return files

    def damaged(data: bytes, most: int, seed: int) -> bytes:
        rng = Random(seed)
        files = unpacked(data)
        part = rng.choice(names)
        changed = packed({**files, part: mutated(part, files[part] or b"", rng)})
        return changed if len(changed) <= most else data

    def read(data: bytes) -> None:
        verdict = loader.verdict(unpacked(data))
        ends[verdict.end] += 1
        if verdict.crash is not None:
            crashes.setdefault(verdict.crash[-400:], data.hex()[:400])
        if ends.total() % 200 == 0:
            (out / "found.json").write_text(
                json.dumps({"inputs": ends.total(), "ends": dict(ends), "crashes": list(crashes)})
            )

    corpus = out / "corpus"
    corpus.mkdir()
    for number in range(20):
        (corpus / str(number)).write_bytes(packed(loader.damaged(number)))
    options = [sys.argv[0], str(corpus), "-max_len=400000", *sys.argv[4:]]
    atheris.Setup(options, read, custom_mutator=damaged)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
