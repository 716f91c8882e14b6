"""The parts of `benchmarks/qat.py` and the order of their runs. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from qat_methods import ablations, families
from qat_row import Row, seeded
from qat_run import PolicyRule, Run
from qat_workloads import BENCHES, CIFAR10_EPOCH, DIGITS_CNN, DIGITS_MLP, RESNET20, SHAKESPEARE, SPEECH

from mpsearch.precision.scheme import SCHEMES

SHARES = (0.02, 0.05, 0.1, 0.2, 0.4)
TRIAL_SHARE = 0.1

Part = Callable[[int], Iterator[Row]]  # from the number of seeds


_LIMITS = (
    # inner layers' scheme, most lost, steps
    (RESNET20, "w8a8", 0.2, (CIFAR10_EPOCH, 3 * CIFAR10_EPOCH)),
    (RESNET20, "w4a8", 0.7, (CIFAR10_EPOCH, 3 * CIFAR10_EPOCH)),
    (RESNET20, "w1.58a8", 2.0, (CIFAR10_EPOCH, 3 * CIFAR10_EPOCH, 10 * CIFAR10_EPOCH)),
    (RESNET20, "w1a8", 3.0, (CIFAR10_EPOCH, 3 * CIFAR10_EPOCH, 10 * CIFAR10_EPOCH)),
    (RESNET20, "w1a1", 8.0, tuple(epochs * CIFAR10_EPOCH for epochs in (1, 3, 10, 24, 32))),
    (SPEECH, "w1.58a8", 1.0, (300, 1000)),
    (SPEECH, "w1a1", 4.0, (300, 1000, 3000)),
    (SHAKESPEARE, "w1.58a8", 0.08, (300, 1000)),
)
# Seeds of a length that was the longest once; of the others, one shows the trend.
_TREND_SEEDS = {("w1a1", 24 * CIFAR10_EPOCH): 2}


# 32 bits inside trained on as the rows with a bar are, at the rate of 8 and 4 bits or of those below 2: what
# further steps alone bring.
_TRAINED_ON = (
    (RESNET20, 3 * CIFAR10_EPOCH, 3e-4),
    (RESNET20, 10 * CIFAR10_EPOCH, 2e-3),
    (SPEECH, 1000, 2e-3),
    (SPEECH, 3000, 2e-3),
    (SHAKESPEARE, 1000, 2e-3),
)


def bars(seeds: int) -> Iterator[Row]:
    """How far below 32 bits each precision ends, and the trend over steps: seeds for the longest only."""
    for bench, scheme, most_lost, lengths in _LIMITS:
        for steps in lengths:
            is_longest = steps == lengths[-1]
            changed = {"steps": steps, "high_bit_steps": steps}
            rule = bench.rule(scheme)
            yield Row(
                table=bench.name,
                label=f"{rule}; {steps} steps",
                runs=seeded(
                    bench,
                    rule,
                    bench.settings(**changed),
                    seeds if is_longest else _TREND_SEEDS.get((scheme, steps), 1),
                ),
                measure=bench.measure,
                most_lost=most_lost if is_longest else None,
            )
    for bench, steps, learning_rate in _TRAINED_ON:
        rule = bench.rule("w32a32")
        changed = {"steps": steps, "high_bit_steps": steps, "learning_rate": learning_rate}
        yield Row(
            table=bench.name,
            label=f"{rule}; {steps} steps at rate {learning_rate:g}",
            runs=seeded(bench, rule, bench.settings(**changed), 1 if bench.is_slow else seeds),
            measure=bench.measure,
        )


def ptq(seeds: int) -> Iterator[Row]:
    """Calibrated only, beside fine-tuned as a trial is, by bits."""
    for bench in (bench for bench in BENCHES if not bench.only):
        for scheme in SCHEMES.values():
            if not scheme.is_full_precision and (scheme.activation_bits > 1 or bench.has_sign_inputs):
                rule = bench.rule(scheme.name)
                runs = seeded(bench, rule, bench.settings(), seeds)
                yield Row(table=bench.name, label=str(rule), runs=runs, measure=bench.measure)


def ranking(_seeds: int) -> Iterator[Row]:
    """Random policies at several shares of the long fine-tune; the whole with another seed tells what the
    order of long scores is itself worth.
    """
    for bench in (bench for bench in BENCHES if bench.space is not None):
        for draw in range(bench.drawn):
            rule = PolicyRule(space=bench.space, draw=draw)
            whole = Run(workload=bench.workload, rule=rule, settings=bench.long)
            shares = [replace(whole, share=share) for share in (*SHARES, 1.0)]
            runs = (*shares, replace(whole, seed=1))
            yield Row(table=bench.name, label=f"policy {draw}", runs=runs)


def determinism(_seeds: int) -> Iterator[Row]:
    """One run twice, each in a process of its own, and one of another seed."""
    for bench, steps in ((DIGITS_CNN, 40), (DIGITS_MLP, 40), (RESNET20, 10)):
        for scheme in ("w4a8", "w1.58a8", "w1a1"):
            settings = bench.settings(steps=steps, high_bit_steps=steps)
            once = Run(workload=bench.workload, rule=bench.rule(scheme), settings=settings)
            runs = (replace(once, repeat=1), replace(once, repeat=2), replace(once, repeat=1, seed=1))
            yield Row(table=bench.name, label=str(once.rule), runs=runs)


PARTS: Mapping[str, Part] = {
    "bars": bars,
    "families": families,
    "ablations": ablations,
    "ptq": ptq,
    "ranking": ranking,
    "determinism": determinism,
}


def in_order(part: str, rows: Iterable[Row]) -> list[Run]:
    """Which run first, so that an unfinished part says as much as it can: every row once before any twice;
    of a ranking, the trial's share and the whole before the other points of the curve.
    """
    runs = [(place, run) for row in rows for place, run in enumerate(row.runs)]
    if part == "ranking":
        runs.sort(key=lambda placed: (placed[1].seed, placed[1].share not in (TRIAL_SHARE, 1.0)))
    else:
        runs.sort(key=lambda placed: placed[0])
    return list({run.key: run for _, run in runs}.values())
