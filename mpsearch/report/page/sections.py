"""The sections of the page: their words, and the places where scripts draw."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median

from mpsearch.precision.scheme import Scheme
from mpsearch.report.landmarks import answer_name
from mpsearch.report.markup import Markup, element, joined
from mpsearch.report.page.headline import Figure
from mpsearch.report.page.notes import honest_notes
from mpsearch.report.page.page_data import PageData
from mpsearch.report.page.settings import Command, bench_line
from mpsearch.report.precision_strip import SYMBOLS, precision_text, scheme_colour, scheme_meaning
from mpsearch.report.units import bytes_text, counted, points_text, seconds_text
from mpsearch.search.layer_effects import ChoiceVerdict, LayerEffect
from mpsearch.search.objective import first_cost, first_learnt
from mpsearch.search.trial_record import TrialRecord


def head(data: PageData) -> Markup:
    """Name, the sentence, the figures, and the knee's policy as the largest strip of the page."""
    pieces = [
        element("strong", text) if place % 2 else element("span", text)
        for place, text in enumerate(data.headline.sentence)
    ]
    figures = [_figure(figure) for figure in data.headline.figures]
    return element(
        "header",
        element("h1", data.run.space.name, element("span", " · mixed-precision search")),
        element("p", pieces, class_="lead"),
        element("p", " ".join(data.headline.detail), class_="detail"),
        element("dl", figures, class_="figures") if figures else None,
        _hero(data) if figures else None,
        class_="head",
    )


def _figure(figure: Figure) -> Markup:
    return element(
        "div",
        element("dt", figure.title),
        element("dd", figure.value, class_="value"),
        element("dd", figure.gain, class_="gain"),
        element("dd", figure.compared, class_="compared"),
    )


def _hero(data: PageData) -> Markup:
    knee = data.run.front.knee().record
    used = {scheme for record in data.run.records for scheme in record.policy.values()}
    return element(
        "figure",
        element("div", class_="hero-strip", id="hero-strip", role="img",
                data_letters=precision_text(knee.policy, data.layers)),
        element(
            "figcaption",
            f"The policy of trial {knee.number}, the {answer_name(data.run)}{_at_width(knee)}: "
            "a cell a layer, input to output.",
        ),
        scheme_legend(used),
        class_="policy",
    )  # fmt: skip


def _at_width(record: TrialRecord) -> str:
    return "" if record.policy.width is None else f" at width {record.policy.width:g}"


def scheme_legend(schemes: set[Scheme]) -> Markup:
    """What the letters and colours mean, fewest bits first."""
    shown = sorted(schemes, key=lambda scheme: (scheme.weight_bits, scheme.activation_bits))
    items = [
        element(
            "li",
            element("i", SYMBOLS[scheme.name], style=f"background:{scheme_colour(scheme)}"),
            f"{scheme.name}, {scheme_meaning(scheme)}",
        )
        for scheme in shown
    ]
    return element("ul", items, class_="schemes", aria_label="Precisions")


def section(name: str, title: str, intro: str | Markup, *content: Markup | None) -> Markup:
    shown = [part for part in content if part is not None]
    return element(
        "section", element("h2", title), element("p", intro, class_="intro"), shown, id=name, aria_label=title
    )


def _chart(name: str, label: str, *, focusable: bool = False) -> Markup:
    return element(
        "div",
        class_="chart",
        id=name,
        role="application" if focusable else "img",
        aria_label=label,
        tabindex=0 if focusable else None,
    )


def front_section(data: PageData) -> Markup:
    run = data.run
    first = first_cost(run.objectives).name
    label = (
        f"Accuracy against {first}: {len(data.trials.numbers)} trials, {len(run.front)} on the front. "
        "Arrow keys walk along the front, Enter selects; the table below has all numbers."
    )
    controls = element(
        "div",
        _axis_select("front-x", "Across", first, run.quantities),
        _switch("front-x-log", "log"),
        _axis_select("front-y", "Up", first_learnt(run.objectives).name, run.quantities),
        _switch("front-y-log", "log"),
        _switch("front-intervals", "95% intervals", checked=True),
        element("span", "drag to select", class_="hint"),
        class_="controls",
    )
    panel = element("div", controls, _chart("front-chart", label, focusable=True), class_="panel")
    card = element("aside", id="card", class_="card panel", aria_label="The trial that is looked at")
    return section(
        "front",
        "What accuracy costs",
        "Each mark is a policy that was fine-tuned and scored. The line bounds what the trials reach in "
        "these two objectives; a mark below it can still be on the front for what is not on these axes.",
        element("div", panel, card, class_="with-card"),
    )


def _axis_select(name: str, label: str, chosen: str, objectives: Iterable[str]) -> Markup:
    options = [
        element("option", objective.replace("_", " "), value=objective, selected=objective == chosen)
        for objective in objectives
    ]
    return element("label", label, element("select", options, id=name))


def _switch(name: str, label: str, *, checked: bool = False) -> Markup:
    return element("label", element("input", type="checkbox", id=name, checked=checked), label)


def parallel_section(data: PageData) -> Markup:
    chart = element(
        "div",
        element("div", class_="parallel", id="parallel-chart"),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label="Parallel coordinates",
    )
    controls = element(
        "div",
        _switch("parallel-front", "Front only", checked=len(data.trials.numbers) > 300),
        element("span", "click a cell, or drag along an axis of numbers", class_="hint"),
        class_="controls",
    )
    return section(
        "policies",
        "How the policies differ",
        "One line a trial, from the first layer to the last and on to what it scores and costs, where up is "
        "better. Strong lines are on the front.",
        element("div", controls, chart, class_="panel"),
    )


def effects_section(data: PageData) -> Markup:
    title = "Which layers can go low"
    effects = data.sensitivity.effects
    if effects is None:
        empty = element("p", data.sensitivity.missing, class_="empty")
        return section("layers", title, "What each layer loses and saves at each precision.", _panel(empty))
    trial = effects.reference_trial
    name = "the most precise uniform policy" + ("" if trial is None else f" (trial {trial})")
    warning = effects.fit.warning
    controls = element(
        "div",
        element(
            "label",
            "Order",
            element(
                "select",
                element("option", "as called", value="called"),
                element("option", "most sensitive first", value="worst"),
                id="effects-order",
            ),
        ),
        class_="controls",
    )
    rows = [_effect_row(effect) for effect in effects.effects]
    head_row = element("tr", [
        element("th", text, class_="left" if place in {0, 1, 6} else None)
        for place, text in enumerate(("layer", "scheme", "change, points", "95% interval", "time saved",
                                      "memory saved", "verdict", "trials"))
    ])  # fmt: skip
    table = element(
        "div", element("table", element("thead", head_row), element("tbody", rows)), class_="scroll"
    )
    return section(
        "layers",
        title,
        f"Starting from {name}, what changes when one layer alone takes another precision: learnt from "
        f"{effects.fit.trials} trials, with 95% intervals. The shaded band is a loss of up to "
        f"{100 * effects.tolerance:g} {'point' if effects.tolerance == 0.01 else 'points'}.",
        element("p", warning, class_="intro over") if warning else None,
        _verdicts(effects.choices),
        _panel(
            controls,
            _chart("effects-chart", "Change of accuracy, time and memory saved, by layer and precision"),
            element("details", element("summary", "All numbers"), table),
        ),
    )


def _verdicts(choices: tuple[ChoiceVerdict, ...]) -> Markup:
    """What surely keeps the accuracy within the tolerance, the lowest precision first."""
    safe: dict[Scheme, list[str]] = {}
    unclear = [choice.choice for choice in choices if choice.can_go_to is None]
    for choice in choices:
        if choice.can_go_to is not None:
            safe.setdefault(choice.can_go_to.scheme, []).append(choice.choice)
    order = sorted(safe, key=lambda scheme: (scheme.weight_bits, scheme.activation_bits))
    items = [
        element("li", element("i", SYMBOLS[s.name], style=f"background:{scheme_colour(s)}"),
                element("b", s.name), f" is safe for {_some(safe[s])}")
        for s in order
    ]  # fmt: skip
    if unclear:
        items.append(element("li", element("b", "Not sure yet"), f" of {_some(unclear)}"))
    return element("ul", items, class_="schemes verdicts")


def _some(names: list[str], most: int = 8) -> str:
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left} more" if left > 0 else "")


def _panel(*content: Markup) -> Markup:
    return element("div", content, class_="panel")


def _effect_row(effect: LayerEffect) -> Markup:
    low, high = effect.interval
    cells = [
        element("td", effect.choice, class_="left"),
        element("td", effect.scheme.name, class_="left"),
        element("td", points_text(effect.accuracy_change)),
        element("td", f"{points_text(low)} to {points_text(high)}"),
        element("td", _saved(effect.latency_saved_s, seconds_text)),
        element("td", _saved(effect.memory_saved_bytes, bytes_text)),
        element("td", effect.verdict, class_=f"left verdict-{effect.verdict}"),
        element("td", str(effect.trials)),
    ]
    return element("tr", cells)


def _saved(value: float, text: Callable[[float | None], str]) -> str:
    return ("\N{MINUS SIGN}" if value < 0 else "") + text(abs(value))


def time_section(data: PageData) -> Markup:
    profile = data.run.profile
    controls = element(
        "div",
        _segments("breakdown-by", "Stack", (("layer", "by layer"), ("kind", "by operator"))),
        _segments("breakdown-as", "Show", (("time", "time"), ("share", "share"))),
        element("span", class_="hint", id="breakdown-note", role="status"),
        class_="controls",
    )
    threads = counted(profile.threads, "thread")
    return section(
        "time",
        "Where the time goes",
        f"Predicted for one sample on {threads}, from input to output. By layer, the colour is the layer's "
        "precision. Selected trials take the place of these.",
        _panel(controls, _chart("breakdown-chart", "Predicted latency of some trials, stacked by layer")),
    )


def _segments(name: str, label: str, choices: tuple[tuple[str, str], ...]) -> Markup:
    buttons = [
        element("button", text, type="button", value=value, aria_pressed="false" if place else "true")
        for place, (value, text) in enumerate(choices)
    ]
    return element("div", buttons, class_="segments", id=name, role="group", aria_label=label)


def measured_section(data: PageData) -> Markup:
    run = data.run
    title = "Predicted against measured"
    if not run.measured:
        empty = joined(
            "Nothing has been measured end to end yet. ",
            element("code", bench_line(run)),
            " exports the front, times whole passes on the machine it runs on, and writes them into the run; "
            "make this page again then.",
        )
        return section(
            "measured", title, "Is a predicted latency kept?", _panel(element("p", empty, class_="empty"))
        )
    measured = [(run.trial(number).latency_s, one) for number, one in run.measured.items()]
    off = median(abs(predicted / one.latency_s - 1) for predicted, one in measured)
    machines = ", ".join(sorted({one.machine for _, one in measured}))
    return section(
        "measured",
        title,
        f"{len(measured)} policies, measured as whole passes of the packed model on {machines}: the "
        f"prediction is off by {100 * off:.1f}% in the median. On the dotted line they agree, "
        "in the band within 10%.",
        _panel(_chart("measured-chart", "Measured latency against the predicted one")),
    )


def history_section(data: PageData) -> Markup:
    last = data.history[-1]
    pair = element(
        "div",
        _panel(element("h3", "after each trial"), _chart("history-trials", "Hypervolume against trials")),
        _panel(element("h3", "over time"), _chart("history-hours", "Hypervolume against time of search")),
        class_="two",
    )
    return section(
        "progress",
        "How the search went",
        f"The front dominates {last.hypervolume:.4f} of the box between nothing at the greatest cost and "
        "perfect accuracy at no cost. Where the line is flat, trials found nothing new.",
        pair,
    )


def failures_section(data: PageData) -> Markup:
    failed = [record for record in data.run.records if record.is_failed]
    rows = [
        element("tr", element("td", f"{record.number}{_at_width(record)}"),
                element("td", precision_text(record.policy, data.layers), class_="left",
                        data_strip=precision_text(record.policy, data.layers)),
                element("td", record.failure, class_="left wrap"))
        for record in failed
    ]  # fmt: skip
    heads = element("tr", element("th", "trial"), element("th", "precision", class_="left"),
                    element("th", "reason", class_="left"))  # fmt: skip
    table = element("table", element("thead", heads), element("tbody", rows))
    return section(
        "failed",
        "Trials that failed",
        f"{len(failed)} of {len(data.run.trainings)}. The search went on without them.",
        _panel(element("div", table, class_="scroll")),
    )


def notes_section(data: PageData) -> Markup:
    items = [element("li", note) for note in honest_notes(data.run)]
    return element(
        "section",
        element("h2", "What these numbers are, and are not"),
        element("ul", items, class_="notes"),
        id="notes",
        aria_label="Notes",
    )


def settings_section(data: PageData) -> Markup:
    groups = [
        element(
            "div",
            element("h3", group.title),
            element("dl", [joined(element("dt", name), element("dd", value)) for name, value in group.pairs]),
        )
        for group in data.settings
    ]
    intro = "Everything that the numbers above depend on."
    return section("settings", "Hardware and settings", intro, element("div", groups, class_="groups"))


def commands_section(data: PageData) -> Markup:
    items = [_command(command) for command in data.commands]
    intro = "The run folder holds its own space and profile, so these lines are all it takes."
    return section("again", "Make it again, take it further", intro, element("div", items, class_="commands"))


def _command(command: Command) -> Markup:
    line = element("div", element("code", command.line), class_="copy", data_copy="")
    return joined(element("p", command.purpose), line)
