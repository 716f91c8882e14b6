"""The rows of the live view: each says one thing about a running search, in as many cells as it is given."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.report.axis import trimmed
from mpsearch.report.budget_status import BudgetStatus
from mpsearch.report.pace import about_text
from mpsearch.report.precision_strip import mark_cells, precision_strip
from mpsearch.report.search_state import RunningTrial, SearchState
from mpsearch.report.sparkline import sparkline
from mpsearch.report.stopped_text import stopped_text
from mpsearch.report.units import UNIT_TEXTS, factor_text, percent_text, wait_text
from mpsearch.search.budgets import Budgets
from mpsearch.search.events import Stage
from mpsearch.search.objective import OBJECTIVES, Objective, objective_named
from mpsearch.search.trial_record import TrialRecord, after_share

LABEL = 13  # cells of the names at the left
_NUMBER, _ACCURACY, _COST = 4, 7, 8
_NOTE = 13
_LEAST_STRIP, _MOST_STRIP = 6, 32
_TITLES: dict[Stage, str] = {
    "task": "loading the task",
    "profile": "measuring this machine",
    "baseline": "training the 32-bit baseline",
    "sensitivity": "lowering one layer at a time",
    "search": "searching",
    "test": "scoring the front",
}
_MEANINGS: dict[Stage, str] = {
    "task": "load the data, find the layers of the model",
    "profile": "time its layers on this machine at every precision",
    "baseline": "train the 32-bit model, unless it is known already",
    "sensitivity": "see what each layer loses at few bits, where the sampler asks",
    "search": "try one precision for all layers, then mixtures of them",
    "test": "score the front on data that the search has not seen",
}


def clock_text(duration_s: float) -> str:
    """42 -> "0:42", 3723 -> "1:02:03"."""
    minutes, seconds = divmod(int(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def stages_row(state: SearchState, width: int, *, is_ascii: bool) -> Text:
    """What is done, what is going on, what is to come; the elapsed time at the right."""
    elapsed = clock_text(state.elapsed_s)
    row = Text()
    for is_full in (True, False):
        row = Text("  ").join(
            _stage(state, stage, is_full=is_full, is_ascii=is_ascii) for stage in state.stages
        )
        if row.cell_len + 2 + len(elapsed) <= width:
            break
    else:
        if state.stage is not None:
            row = Text(_TITLES[state.stage], "bold cyan")
            row.append(f"  {state.stages.index(state.stage) + 1} of {len(state.stages)}", "dim")
    return between(row, Text(elapsed, "bold"), width)


def _stage(state: SearchState, stage: Stage, *, is_full: bool, is_ascii: bool) -> Text:
    done, now, then = ("[x]", "[>]", "[ ]") if is_ascii else ("✓", "▸", "·")
    took = state.stage_s(stage)
    if stage == state.stage:
        return Text(f"{now} {_TITLES[stage] if is_full else stage}", "bold cyan")
    if took is None:
        return Text(f"{then} {stage}", "dim")
    text = Text(f"{done} {stage}", "green")
    return text.append(f" {wait_text(took)}", "dim") if is_full and took >= 1 else text


def stage_list(state: SearchState, *, is_ascii: bool) -> list[Text]:
    """What the stages are for, while there is nothing else to show."""
    return [
        Text.assemble(_stage(state, stage, is_full=False, is_ascii=is_ascii), " " * (13 - len(stage))).append(
            _MEANINGS[stage], "dim" if stage != state.stage else ""
        )
        for stage in state.stages
    ]


def bar_row(state: SearchState, width: int, *, is_ascii: bool) -> Text:
    """How far the search is, or the stage before or after it."""
    progress = state.stage_progress
    if state.stage == "search" and state.started is not None:
        done: float = state.finished + state.waiting
        total, unit = state.total, " trials"
        share = (done + sum(trial.done for trial in state.running)) / max(total, 1)
    elif progress is not None:
        done, total, unit = progress.done, progress.total, ""
        share = done / max(total, 1)
    else:
        return Text("")
    figure = f"{len(str(total)) * ' '}{done}"[-len(str(total)) :]
    text = f"{figure}/{total}{unit}  {int(100 * min(share, 1)):>3}%"
    room = width - len(text) - 2
    if room < 6:
        return Text(text[:width], "bold")
    return Text.assemble(_bar(share, room, is_ascii=is_ascii), "  ", (text, "bold"))


def _bar(share: float, width: int, *, is_ascii: bool) -> Text:
    full, half, rest = ("#", "#", "-") if is_ascii else ("━", "╸", "─")
    halves = round(2 * width * min(max(share, 0.0), 1.0))
    done = full * (halves // 2) + half * (halves % 2)
    return Text.assemble((done, "cyan"), (rest * (width - len(done)), "bright_black"))


def pace_row(state: SearchState, width: int) -> Text:
    """The time that is left, the rate, the failures."""
    if state.stage != "search" or state.started is None:
        progress = state.stage_progress
        if progress is None:
            return Text(state.stage_detail, "dim")
        # The first step may hold what all of them need.
        took = state.stage_s(progress.stage)
        left = took * (progress.total - progress.done) / progress.done if took and progress.done > 1 else None
        about = "" if left is None or left < 0.5 else f"≈ {wait_text(left)} left   "
        return Text.assemble((about, "bold"), (progress.what, "dim"))
    estimate = state.estimate()
    parts: list[Text] = []
    if estimate is None:
        parts.append(Text("time left: after the first trained trial", "dim"))
    else:
        about = about_text(estimate)
        head, bracket, span = about.partition(" (")
        parts.append(
            Text.assemble((head, "bold"), (bracket + span, "dim"), " left" + (" (limit)" * estimate.is_limit))
        )
    rate = state.trials_per_hour
    if rate is not None:
        parts.append(Text(f"{rate:,.0f} trials/h" if rate >= 9.5 else f"{rate:.1f} trials/h"))
    if state.started.workers > 1:
        parts.append(Text(f"{state.started.workers} workers"))
    if state.started.batch > 1:
        parts.append(Text(f"batches of {state.started.batch}"))
    if state.waiting:
        parts.append(Text(f"{state.waiting} at a lower fidelity", "dim"))
    if state.failures:
        parts.append(Text(f"{len(state.failures)} failed", "red"))
    if state.started.finished:
        parts.append(Text(f"{state.started.finished} from before", "dim"))
    while len(parts) > 1 and sum(part.cell_len + 3 for part in parts) - 3 > width:
        parts.pop(-1 if parts[-1].plain.endswith("before") else len(parts) - 1 - bool(state.failures))
    return Text("   ").join(parts)


def hypervolume_row(state: SearchState, width: int, *, is_ascii: bool) -> Text:
    """Its value, its course, and what the sampler has added."""
    if not state.hypervolumes:
        return Text("none yet", "dim")
    row = Text.assemble((f"{state.hypervolumes[-1]:.4f}", "bold"))
    gain = state.gain
    note = "" if gain is None else f"+{gain:.4f} beyond uniform"
    room = width - row.cell_len - 2 - (len(note) + 2)
    if note and room < 8:
        note, room = "", width - row.cell_len - 2
    cells = min(max(room, 0), 40)
    line = sparkline(state.hypervolumes[growth_from(state) :], cells, is_ascii=is_ascii)
    row.append(f"  {line:<{min(cells, max(len(line), 24))}}", "green")
    return row.append(f"  {note}" if note else "", "dim")


def growth_from(state: SearchState) -> int:
    """Where mixtures began: the leap of the uniform policies before would flatten the rest."""
    anchors = sum(record.origin == "anchor" for record in state.records.values())
    return max(anchors - 1, 0) if len(state.hypervolumes) >= anchors + 2 else 0


def shown_costs(objectives: Sequence[Objective], budgets: Budgets | None = None) -> list[Objective]:
    """The costs that rows of trials show: two of the main machine, and those optimised on further devices.

    Those that are searched for, then those with a budget; latency and memory where there are none.
    """
    bounded = [objective_named(name) for name in (Budgets() if budgets is None else budgets).bounds()]
    chosen = [cost for cost in dict.fromkeys((*objectives, *bounded)) if not cost.is_learnt]
    further = [cost for cost in chosen if cost.device is not None]
    own = [cost for cost in chosen if cost.device is None]
    return [*(own or [OBJECTIVES["latency"], OBJECTIVES["memory"]])[:2], *further[:2]]


def cost_cell(cost: Objective, record: TrialRecord) -> str:
    """A cost of a trial, with its device where that is a further one: "17.9 µs@pi5"."""
    device = "" if cost.device is None else f"@{cost.device}"
    return f"{UNIT_TEXTS[cost.unit](cost.of(record)) + device:>{_COST + len(device)}}"


def strip_width(state: SearchState, room: int) -> int:
    """Cells for precision strips where `room` cells are free: the same for all rows."""
    policies = [trial.policy for trial in state.slots if trial is not None]
    policies += [record.policy for record in state.recent[:1]]
    layers = max((len(policy) for policy in policies), default=_LEAST_STRIP)
    return max(min(layers, room, _MOST_STRIP), _LEAST_STRIP)


def _strip(policy: PrecisionPolicy, width: int) -> Text:
    strip = precision_strip(policy, width=width)
    return strip.append(" " * (width + mark_cells(policy) - strip.cell_len))


def trial_row(state: SearchState, record: TrialRecord | None, width: int, note: Text | None = None) -> Text:
    """Number, precisions, accuracy or loss, costs, and a note."""
    if record is None or state.started is None:
        return Text("none yet", "dim")
    costs = shown_costs(state.started.objectives, state.started.budgets)
    fixed = _NUMBER + 1 + 1 + _ACCURACY + sum(1 + len(cost_cell(cost, record)) for cost in costs)
    cells = strip_width(state, width - fixed - mark_cells(record.policy) - _NOTE)
    row = Text(f"{record.number:>{_NUMBER}} ")
    row.append_text(_strip(record.policy, cells))
    if record.is_failed:
        return row.append(f"  failed: {record.failure}", "red")
    if record.is_stopped:
        return row.append(f"  {stopped_text(record)}", "dim")
    row.append(f" {score_text(state, record):>{_ACCURACY}}", "bold")
    for cost in costs:
        row.append(f" {cost_cell(cost, record)}")
    if note is None or not note.plain or row.cell_len + 2 + note.cell_len > width:
        return row
    return row.append("  ").append_text(note)


def score_text(state: SearchState, record: TrialRecord) -> str:
    """What the search learnt of a trial: "97.72%", or a loss."""
    return UNIT_TEXTS[state.learnt.unit](state.learnt.of(record))


def note_of(state: SearchState, record: TrialRecord) -> Text:
    """What is special about a finished trial."""
    assert state.started is not None
    if not record.is_complete:
        return Text()
    if record.number in state.new():
        return Text("new", "bold bright_magenta")
    if record.number == state.knee and state.has_knee:
        return Text("knee", "bold yellow")
    if state.best is not None and record.number == state.best.number:
        return Text("best", "bold bright_green")
    if record.number in state.front:
        return Text("front", "green")
    if not state.started.overrides.allows(record.policy):
        return Text("not allowed", "dim")
    if not state.is_wanted(record):
        return Text("over budget", "red dim")
    return Text("uniform", "cyan dim") if record.origin == "anchor" else Text()


def knee_row(state: SearchState, width: int) -> Text:
    """The knee of the front, and how many are on it."""
    knee = None if state.knee is None else state.records.get(state.knee)
    return trial_row(state, knee, width, Text(f"{len(state.front)} on the front", "green"))


def best_row(state: SearchState, width: int) -> Text:
    """The best trial, of those that meet the budgets."""
    has_budgets = state.started is not None and bool(state.started.budgets)
    if state.best is None:
        return Text(
            "no trial meets the budgets yet" if has_budgets and state.complete() else "none yet", "dim"
        )
    most = "most accurate" if state.learnt.direction == "maximize" else "least loss"
    note = Text("within budget" if has_budgets else most, "dim")
    return trial_row(state, state.best, width, note)


def running_row(trial: RunningTrial | None, state: SearchState, width: int, *, is_ascii: bool) -> Text:
    """What one worker is on: number, precisions, step, loss and its course."""
    if trial is None:
        started = state.started
        is_over = state.ended is not None or started is None or state.finished >= state.total
        is_many = started is not None and started.workers > 1
        return Text(
            "   – " + ("" if is_over else "a worker starts" if is_many else "a policy is chosen"), "dim"
        )
    cells = strip_width(state, width - 40)
    row = Text(f"{trial.number:>{_NUMBER}} ", "dim" if trial.is_over else "")
    row.append_text(_strip(trial.policy, cells))
    if trial.rung is not None:
        row.append(f"  {percent_text(trial.rung.score):>{_ACCURACY}}", "bold")
        return row.append(f" {after_share(trial.rung.share)}", "dim")
    if trial.record is not None:
        record = trial.record
        if not record.is_complete:
            return row.append("  failed", "red")
        row.append(f"  {score_text(state, record):>{_ACCURACY}}", "bold")
        return row.append(f" in {wait_text(record.seconds)}; the next is chosen", "dim")
    if not trial.total:
        return row.append("  begins", "dim")
    row.append(f"  {trial.step:>{len(str(trial.total))}}/{trial.total}", "bold")
    if trial.losses:
        row.append(f"  loss {trial.losses[-1][1]:.3f} ", "dim")
        room = min(width - row.cell_len, 40)
        row.append(sparkline([loss for _, loss in trial.losses], room, is_ascii=is_ascii), "cyan")
    return row


def budget_rows(statuses: Sequence[BudgetStatus], width: int, *, is_ascii: bool) -> list[Text]:
    """A bound a row, how many trials keep it, and the best of these or the nearest miss."""
    bounds = [_bound(status, is_ascii=is_ascii) for status in statuses]
    cells = max(map(len, bounds), default=0)
    yes, no = ("+", "x") if is_ascii else ("✓", "✗")
    rows = []
    for status, bound in zip(statuses, bounds, strict=True):
        mark, style = (yes, "green") if status.met else (no, "red") if status.finished else ("·", "dim")
        row = Text.assemble((f"{mark} ", style), f"{bound:<{cells}}  ")
        row.append(f"{status.met:>4} of {status.finished:<4}", "bold" if status.met else "")
        outcomes = _outcomes(status)
        fitting = (text for text in outcomes if row.cell_len + 1 + len(text) <= width)
        rows.append(row.append(" " + next(fitting, ""), "green" if status.met else "yellow"))
    return rows


def _bound(status: BudgetStatus, *, is_ascii: bool) -> str:
    if status.name is None:
        return "all together"
    objective = objective_named(status.name)
    value = trimmed(UNIT_TEXTS[objective.unit](status.budgets.bounds()[status.name]))
    least, most = (">=", "<=") if is_ascii else ("≥", "≤")
    sign = least if objective.direction == "maximize" else most
    return f"{status.name.replace('_', ' ')} {sign} {value}"


def _outcomes(status: BudgetStatus) -> list[str]:
    """What to say of the best or the nearest trial, in fewer and fewer words."""
    if status.best is not None:
        best = f"best {percent_text(status.best.accuracy)}"
        return [f"{best} (trial {status.best.number})", f"{best} ({status.best.number})", best]
    if status.nearest is None:
        return []
    number = status.nearest.number
    if status.name is None:
        return [f"nearest: trial {number}", f"near: {number}"]
    objective = objective_named(status.name)
    reached = UNIT_TEXTS[objective.unit](objective.of(status.nearest))
    if objective.direction == "maximize":
        return [f"nearest {reached} (trial {number})", f"nearest {reached}", reached]
    over = f"{100 * status.excess:.0f}% over" if status.excess >= 0.0095 else "<1% over"
    if status.excess >= 1:
        over = f"{factor_text(status.excess + 1)} the budget"
    near = f"nearest {reached}, {over}"
    return [f"{near} (trial {number})", near, over]


def failures_row(state: SearchState) -> Text:
    """How many trials failed, and why the last one did."""
    if not state.failures:
        return Text()
    last = state.failures[-1]
    return Text.assemble(
        (f"{len(state.failures)}", "bold red"), (f"  trial {last.number}: {last.failure}", "red")
    )


def between(left: Text, right: Text, width: int) -> Text:
    """One text at each end."""
    room = width - right.cell_len
    row = left.copy()
    row.truncate(max(room - 1, 0), overflow="ellipsis", pad=True)
    return row.append(" " * max(room - row.cell_len, 0)).append_text(right)
