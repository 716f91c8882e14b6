"""The inspector driven by keys and mouse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mpsearch.report.inspector.compare_screen import CompareScreen
from mpsearch.report.inspector.front_plot import FrontPlot
from mpsearch.report.inspector.help_screen import HelpDialog
from mpsearch.report.inspector.inspect_screen import LEAST_SIZE, InspectScreen
from mpsearch.report.inspector.layer_list import LayerList
from mpsearch.report.inspector.run_watch import Sight
from mpsearch.report.inspector.trials_screen import TrialsScreen
from mpsearch.search.budgets import Budgets


async def typed(pilot, text):
    """Into the field that has the focus, after what is there: as keys would, but at once."""
    pilot.app.focused.insert_text_at_cursor(text)
    await pilot.pause()


def test_arrows_walk_along_the_front_and_stop_at_its_ends(drive, run):
    async def script(app, pilot):
        main = app.main
        order = main.scene.front_order
        seen = [main.cursor]
        await pilot.press("home")
        seen.append(main.cursor)
        for key in ("right", "l", "left", "h", "h"):
            await pilot.press(key)
            seen.append(main.cursor)
        await pilot.press("end", "right")
        return order, [*seen, main.cursor]

    order, seen = drive(run, script)
    assert seen == [
        run.front.knee().number,
        order[0],
        order[1],
        order[2],
        order[1],
        order[0],
        order[0],
        order[-1],
    ]


def test_trials_off_the_front_are_reached_up_down_and_one_by_one(drive, run):
    async def script(app, pilot):
        reached = set()
        await pilot.press("home")
        for by in [*[1] * 45, *[-1] * 45]:
            reached.add(app.main.cursor)
            app.main.action_walk_all(by)
        await pilot.press("comma", "full_stop")
        before = app.main.cursor
        await pilot.press("up", "up")
        above = app.main.cursor
        return reached, app.main.scene.spot_of[before], app.main.scene.spot_of[above]

    reached, before, above = drive(run, script)
    assert reached == {record.number for record in run.records if record.is_complete}
    assert above.y > before.y


def test_the_panel_says_how_sure_a_score_is_and_what_the_neighbours_offer(drive, run, screen_text):
    async def script(app, pilot):
        return screen_text(app)

    text = drive(run, script, size=(160, 40))
    knee = run.front.knee().record
    low, high = run.interval(knee)
    wanted = [
        f"trial {knee.number}",
        "knee",
        f"{100 * knee.accuracy:.2f}%",
        f"{100 * low:.1f}–{100 * high:.1f}",
    ]
    wanted += ["test", "latency", "memory", "energy", "going to", "←", "→", "14 layers", "conv1"]
    wanted += ["outside of layers", "validation, n = 5000", "predicted, test-machine"]
    for part in wanted:
        assert part in text, part


def test_measured_latency_stands_beside_the_predicted_where_it_is_known(drive, run, screen_text):
    async def script(app, pilot):
        await pilot.press("home")
        with_it = screen_text(app)
        await pilot.press("right")
        return with_it, screen_text(app), app.main.scene.front_order

    first, second, order = drive(run, script)
    assert ("measured" in first) == (order[0] in run.measured)
    assert ("measured" in second) == (order[1] in run.measured)
    assert "measured" in first + second


def test_a_trial_off_the_front_says_who_beats_it(drive, run, screen_text):
    worse = next(r.number for r in run.records if r.is_complete and r.number not in run.front)

    async def script(app, pilot):
        app.main.go_to(worse)
        await pilot.pause()
        return screen_text(app)

    text = drive(run, script, size=(120, 40))
    assert "not on front" in text
    assert "▲ beats it" in text


def test_axes_and_scales_change_and_the_cursor_stays(drive, run, screen_text):
    async def script(app, pilot):
        cursor = app.main.cursor
        await pilot.press("x", "x", "x")
        memory = screen_text(app)
        kinds = []
        for _ in range(3):
            await pilot.press("X")
            kinds.append(app.main.scene.x_axis.kind)
        await pilot.press("y", "Y")
        other = screen_text(app)
        return cursor == app.main.cursor, memory, kinds, other, app.main.looks

    stayed, memory, kinds, other, looks = drive(run, script)
    assert stayed
    assert "memory (log) →" in memory
    assert kinds == ["linear", "log", "log"]
    assert "↑ latency" in other
    assert (looks.x, looks.y) == ("memory", "latency")


def test_zooming_out_shows_all_trials_on_the_scale(drive, run):
    from mpsearch.report.inspector.view_state import is_off_scale

    far = replace(run, records=tuple(
        replace(r, score=0.05) if r.number == 20 else r for r in run.records
    ))  # fmt: skip

    async def script(app, pilot):
        near = is_off_scale(app.main.scene.y_axis, 0.05)
        await pilot.press("z")
        return near, is_off_scale(app.main.scene.y_axis, 0.05)

    near, whole = drive(far, script)
    assert not whole
    assert near or drive(far, script)[1] is False


def test_a_click_picks_the_nearest_trial_and_a_title_changes_its_axis(drive, run):
    async def script(app, pilot):
        plot = app.main.query_one(FrontPlot)
        frame = plot.frame
        spot = app.main.scene.spot_of[app.main.scene.front_order[0]]
        column, row = frame.cell_of(spot.x, spot.y)
        await pilot.click(FrontPlot, offset=(column + frame.gutter + 1, row + frame.top))
        picked = app.main.cursor
        await pilot.click(FrontPlot, offset=(frame.gutter + 4, 0))
        y = app.main.looks.y
        await pilot.click(FrontPlot, offset=(plot.size.width - 5, plot.size.height - 1))
        return picked, app.main.scene.front_order, spot.number, y, app.main.looks.x

    picked, _, wanted, y, x = drive(run, script)
    assert picked == wanted
    assert y == "latency_p95"
    assert x == "latency_p99"  # not what is upright already


def test_a_budget_is_dragged_in_from_its_axis_and_out_again(drive, run, screen_text):
    async def script(app, pilot):
        plot = app.main.query_one(FrontPlot)
        frame = plot.frame
        line, right = frame.top + frame.height, frame.gutter + frame.width
        await pilot.mouse_down(FrontPlot, offset=(right, line))
        await pilot.hover(FrontPlot, offset=(right - 10, line))
        await pilot.hover(FrontPlot, offset=(right - 20, line - 3))
        await pilot.mouse_up(FrontPlot, offset=(right - 20, line - 3))
        await pilot.pause()
        bound, shown = app.main.scene.run.budgets.latency_s, screen_text(app)
        frame = plot.frame
        at = frame.cell_of(frame.x_axis.place(bound), 0)[0] + frame.gutter + 1
        await pilot.mouse_down(FrontPlot, offset=(at, frame.top + 2))
        await pilot.hover(FrontPlot, offset=(frame.gutter + frame.width + 1, frame.top + 2))
        await pilot.mouse_up(FrontPlot, offset=(frame.gutter + frame.width + 1, frame.top + 2))
        await pilot.pause()
        return bound, shown, app.main.scene.run.budgets

    bound, shown, after = drive(run, script)
    reached = [record.latency_s for record in run.records if record.is_complete]
    assert min(reached) < bound < max(reached)
    assert "budgets latency ≤" in shown
    assert f"{sum(value <= bound for value in reached)} of {len(reached)} fit" in shown
    assert "┊" in shown
    assert "○" in shown  # on the front, over budget: told without colour
    assert after == Budgets()


def test_a_floor_of_accuracy_is_dragged_along_the_upright_axis(drive, run):
    async def script(app, pilot):
        frame = app.main.query_one(FrontPlot).frame
        await pilot.mouse_down(FrontPlot, offset=(2, frame.top + frame.height - 2))
        await pilot.hover(FrontPlot, offset=(2, frame.top + 4))
        await pilot.mouse_up(FrontPlot, offset=(2, frame.top + 4))
        await pilot.pause()
        return app.main.scene.run.budgets

    budgets = drive(run, script)
    assert 0.8 < budgets.accuracy < 0.95
    assert budgets.latency_s is None


def test_keys_move_budgets_and_bring_back_the_runs_own(drive, run):
    own = replace(run, space=replace(run.space, budgets=Budgets(memory_bytes=60e3)))

    async def script(app, pilot):
        seen = [app.main.scene.run.budgets]
        for keys in (["left_square_bracket"] * 3, ["right_curly_bracket"] * 2, ["0"], ["r"]):
            await pilot.press(*keys)
            seen.append(app.main.scene.run.budgets)
        return seen

    first, tight, floored, none, back = drive(own, script)
    assert first == back == Budgets(memory_bytes=60e3)
    assert tight.latency_s is not None
    assert floored.accuracy is not None
    assert none == Budgets()


def test_budgets_are_typed_refused_with_the_reason_and_applied(drive, run, screen_text):
    async def script(app, pilot):
        await pilot.press("b", "tab")
        await typed(pilot, "300")
        await pilot.press("enter")
        refused = screen_text(app)
        await typed(pilot, "us")
        cleared = screen_text(app)
        await pilot.press("enter")
        return refused, cleared, app.main.scene.run.budgets, app.screen is app.main

    refused, cleared, budgets, is_back = drive(run, script)
    assert "A duration must be a positive number with a unit" in " ".join(refused.split())
    assert "A duration must be" not in cleared
    assert budgets.latency_s == pytest.approx(300e-6)
    assert is_back


def test_leaving_the_budgets_changes_nothing(drive, run):
    async def script(app, pilot):
        await pilot.press("b", "9", "escape")
        return app.main.scene.run.budgets, app.screen is app.main

    assert drive(run, script) == (Budgets(), True)


def test_a_filter_works_while_it_is_typed_shows_errors_and_is_dropped(drive, run, screen_text):
    async def script(app, pilot):
        await pilot.press("slash")
        await typed(pilot, "latency<300us and accuracy>0.9")
        whole = len(app.main.scene.shown), screen_text(app)
        await typed(pilot, " and nonsense")
        broken = len(app.main.scene.shown), screen_text(app)
        await pilot.press("enter")  # is not accepted
        still_open = app.focused is not None
        await pilot.press(*["backspace"] * len(" and nonsense"), "enter")
        kept = len(app.main.scene.shown), app.focused, app.main.scene.front_order
        await pilot.press("escape")
        return whole, broken, still_open, kept, len(app.main.scene.shown)

    whole, broken, still_open, kept, dropped = drive(run, script)
    wanted = [r for r in run.records if r.is_complete and r.latency_s < 300e-6 and r.accuracy > 0.9]
    assert whole[0] == broken[0] == kept[0] == len(wanted) > 0
    assert f"{len(wanted)} of 40 trials" in whole[1]
    assert "nonsense" in broken[1]
    assert "A filter must be" in broken[1]
    assert still_open
    assert kept[1] is None
    assert set(kept[2]) == {r.number for r in wanted if r.number in run.front}
    assert dropped == 40


def test_escape_takes_back_a_filter_that_was_being_typed(drive, run):
    async def script(app, pilot):
        await pilot.press("slash")
        await typed(pilot, "front")
        await pilot.press("enter", "slash")
        await typed(pilot, " and uniform")
        typing = len(app.main.scene.shown)
        await pilot.press("escape")
        return typing, len(app.main.scene.shown)

    typing, after = drive(run, script)
    assert typing < after == len(run.front)


def test_two_marks_are_compared_layer_by_layer_with_an_honest_interval(drive, run, screen_text):
    async def script(app, pilot):
        await pilot.press("home", "m", "right", "m")
        marked = screen_text(app), app.main.marks
        await pilot.press("c")
        compared = isinstance(app.screen, CompareScreen), screen_text(app)
        await pilot.press("d", "s")
        swapped = screen_text(app)
        await pilot.press("escape", "u")
        return marked, compared, swapped, app.main.marks

    marked, compared, swapped, dropped = drive(run, script, size=(110, 44))
    a, b = marked[1]
    assert compared[0]
    text = " ".join(compared[1].split())
    assert f"A trial {a}" in text
    assert f"B trial {b}" in text
    assert "95% interval" in text
    assert "scored on different samples" in text
    assert "conv1" in compared[1]
    assert "total" in compared[1]
    assert f"A trial {b}" in swapped
    assert swapped.count("same") < compared[1].count("same")
    assert dropped == ()


def test_one_mark_is_compared_with_the_cursor_and_none_says_what_to_do(drive, run, screen_text):
    async def script(app, pilot):
        await pilot.press("c")
        await pilot.pause()
        told = screen_text(app)
        await pilot.press("m", "right", "c")
        return told, isinstance(app.screen, CompareScreen)

    told, is_compared = drive(run, script)
    assert "Mark two trials" in told
    assert is_compared


def test_any_trial_is_reached_by_number_or_name_and_a_wrong_one_is_refused(drive, run, screen_text):
    async def script(app, pilot):
        await pilot.press("g")
        await typed(pilot, "fastest")
        await pilot.press("enter")
        fastest = app.main.cursor
        await pilot.press("g", "9", "9", "9", "enter")
        refused = screen_text(app)
        await pilot.press("backspace", "backspace", "backspace", "3", "8", "enter")
        return fastest, refused, app.main.cursor

    fastest, refused, failed = drive(run, script)
    assert fastest == min(run.front.records, key=lambda r: r.latency_s).number
    assert "Trial 999 is not in" in " ".join(refused.split())
    assert failed == 38
    assert not run.trial(38).is_complete


def test_a_failed_trial_shows_its_reason_and_is_not_exported(drive, run, screen_text):
    async def script(app, pilot):
        app.main.go_to(38)
        await pilot.pause()
        shown = screen_text(app)
        await pilot.press("e")
        await pilot.pause()
        return shown, screen_text(app), app.screen is app.main

    shown, told, stayed = drive(run, script, size=(120, 36))
    assert "failed: the loss became NaN at step 3" in shown
    assert "Only a trial that has ended well" in " ".join(told.split())
    assert stayed


def test_the_list_of_trials_is_ordered_names_failures_and_goes_to_one(drive, run, screen_text):
    async def script(app, pilot):
        await pilot.press("t")
        listed = isinstance(app.screen, TrialsScreen), screen_text(app)
        await pilot.press("end")
        last = screen_text(app)
        await pilot.press("o", "home", "enter")
        return listed, last, app.main.cursor

    listed, last, cursor = drive(run, script, size=(120, 30))
    assert listed[0]
    assert "40 trials, by number" in listed[1]
    assert "the loss became NaN" in last
    assert cursor == max((r for r in run.records if r.is_complete), key=lambda r: r.accuracy).number


def test_help_names_every_key_and_fits_a_small_terminal(drive, run, screen_text):
    async def script(app, pilot):
        await pilot.press("question_mark")
        text = screen_text(app)
        is_open = isinstance(app.screen, HelpDialog)
        await pilot.press("escape")
        return is_open, text, app.screen is app.main

    is_open, text, is_back = drive(run, script, size=(80, 24))
    assert is_open
    assert is_back
    for part in ("along the front", "filter", "export", "compare", "drag", "knee", "w1.58a8", "w32a32"):
        assert part in text


def test_help_is_laid_out_anew_when_the_terminal_changes(drive, run, screen_text):
    async def script(app, pilot):
        await pilot.press("question_mark")
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        return screen_text(app)

    lines = [line for line in drive(run, script, size=(80, 24)).splitlines() if "along the front" in line]
    assert len(lines) == 1
    assert "knee" not in lines[0]  # the symbols come below the keys


def test_every_key_that_is_bound_is_in_the_help():
    from mpsearch.report.inspector.help_screen import KEYS as TOLD

    told = {key for _, keys, does in TOLD for key in f"{keys} {does}".replace(";", " ").split()}
    symbols = {
        "left": "←", "right": "→", "up": "↑", "down": "↓", "comma": ",", "full_stop": ".", "slash": "/",
        "left_square_bracket": "[", "right_square_bracket": "]", "left_curly_bracket": "{",
        "right_curly_bracket": "}", "pageup": "pgup", "pagedown": "pgdn", "escape": "esc",
    }  # fmt: skip
    for binding in InspectScreen.BINDINGS:
        for key in binding.key.split(","):
            if key not in {"shift+left", "shift+right", "question_mark"}:  # other names; what opened the help
                assert symbols.get(key, key) in told, key


def test_layers_scroll_and_sort_and_keep_their_place_along_the_front(
    drive, tmp_path, make_inspected_run, screen_text
):
    many = make_inspected_run(tmp_path / "deep", trials=20, failures=0, layers=90)

    async def script(app, pilot):
        await pilot.press("home")
        top = screen_text(app)
        await pilot.press("pagedown")
        place = app.main.query_one(LayerList).scroll_offset.y
        await pilot.press("right")
        kept = app.main.query_one(LayerList).scroll_offset.y
        await pilot.press("pageup", "o")
        return top, place, kept, screen_text(app)

    top, place, kept, by_latency = drive(many, script, size=(100, 30))
    assert "90 layers" in top
    assert place == kept > 0
    assert "latency ▾" in by_latency


@pytest.mark.parametrize(("trials", "failures", "says"), [
    (0, 0, "Nothing to look at yet"),
    (1, 0, "1 trial"),
    (3, 3, "all 3 have failed"),
])  # fmt: skip
def test_runs_with_next_to_nothing_work_under_every_key(
    drive, tmp_path, make_inspected_run, screen_text, trials, failures, says
):
    small = make_inspected_run(tmp_path / "small", trials=trials, failures=failures, layers=3)
    keys = [binding.key.split(",")[0] for binding in InspectScreen.BINDINGS]
    keys = [key for key in keys if key not in {"b", "slash", "c", "g", "t", "e", "question_mark"}]

    async def script(app, pilot):
        text = screen_text(app)
        await pilot.press(*keys, "b", "enter", "slash", "escape", "t", "escape", "g", "escape", "c", "e")
        if app.screen is not app.main:  # one trial can be exported
            await pilot.press("escape")
        await pilot.click(FrontPlot, offset=(5, 5))
        return text, app.screen is app.main

    text, is_back = drive(small, script, size=(64, 18))
    assert says in text
    assert is_back


@pytest.mark.parametrize("size", [(LEAST_SIZE[0] - 1, 30), (100, LEAST_SIZE[1] - 1), (20, 6), (1, 1)])
def test_a_terminal_that_is_too_small_is_told_so(drive, run, screen_text, size):
    async def script(app, pilot):
        small = screen_text(app)
        await pilot.resize_terminal(90, 25)
        await pilot.pause()
        return small, screen_text(app)

    small, large = drive(run, script, size=size)
    if size[0] >= 58 and size[1] >= 3:
        assert "The inspector needs 60 columns and 16 rows" in small
    assert "trial" not in small
    assert "knee" in large


def test_the_least_size_holds_plot_panel_and_keys(drive, run, screen_text):
    async def script(app, pilot):
        return screen_text(app)

    text = drive(run, script, size=LEAST_SIZE)
    for part in ("↑ accuracy", "latency", "knee", "14 layers", "conv1", "? help", "q quit"):
        assert part in text
    assert max(map(len, text.splitlines())) <= LEAST_SIZE[0]


def test_the_search_goes_on_under_the_eyes_and_cursor_and_marks_stay(drive, run, screen_text):
    fewer = replace(run, records=run.records[:20])

    async def script(app, pilot):
        main = app.main
        await pilot.press("home", "m", "right")
        before = main.cursor, main.marks
        main.see(Sight(run=None, is_searching=True, running=2))
        await pilot.pause()
        running = screen_text(app)
        main.see(Sight(run=run, is_searching=True, running=1))
        await pilot.pause()
        grown = screen_text(app)
        main.see(Sight(run=None, is_searching=False, running=0, problem="x is gone"))
        await pilot.pause()
        return before, (main.cursor, main.marks), running, grown, screen_text(app)

    before, after, running, grown, gone = drive(fewer, script)
    assert before == after
    assert "searching  2 running, 20 of 40 done" in running
    assert "40 of 40 done" in grown
    assert "38 trials" in grown
    assert "folder is gone, showing the last state" in gone
    assert "x is gone" in gone
    assert "38 trials" in gone


def test_a_run_folder_that_grows_is_followed(run, tmp_path, write_run, make_inspected_run, screen_text):
    import asyncio

    from mpsearch.report.inspector.app import InspectorApp
    from mpsearch.search.run import load_run
    from mpsearch.search.run_folder import RunFolder, record_line

    whole = make_inspected_run(tmp_path / "grows", trials=10, failures=0, layers=4)
    write_run(replace(whole, records=whole.records[:6], measured={}))

    async def scene():
        app = InspectorApp(load_run(whole.path), look_every_s=0.05)
        async with app.run_test(size=(90, 25)) as pilot:
            await pilot.pause(0.1)
            before = len(app.main.run.records)
            with RunFolder(whole.path).trials_file.open("a", encoding="utf-8") as file:
                file.write("".join(record_line(record) + "\n" for record in whole.records[6:]))
            for _ in range(100):
                await pilot.pause(0.05)
                if len(app.main.run.records) == 10:
                    break
            return before, screen_text(app)

    before, text = asyncio.run(scene())
    assert before == 6
    assert "10 trials" in text


@pytest.mark.parametrize("theme", ["dark", "light", "mono"])
def test_what_is_shown_does_not_depend_on_the_colours(drive, run, screen_text, theme):
    async def script(app, pilot):
        await pilot.press("home", "m", "right", "left_square_bracket")
        return screen_text(app)

    assert drive(run, script, theme=theme) == drive(run, script)


def test_without_colours_nothing_is_coloured_and_no_key_changes_that(drive, run):
    async def script(app, pilot):
        await pilot.press("T")
        return app.palette.name

    assert drive(run, script, theme="mono") == "mpsearch-mono"

    async def styles(app, pilot):
        app.main.see(Sight(run=None, is_searching=True, running=2))
        await pilot.press("home", "m", "right", "left_square_bracket")
        found = set()
        for strip in app.screen._compositor.render_strips():
            shown = strip
            for line_filter in app.get_line_filters():
                shown = shown.apply_filter(line_filter, app.screen.background_colors[1])
            found |= {(s.style.color, s.style.bgcolor) for s in shown if s.style is not None}
        return {colour.name for pair in found for colour in pair if colour is not None}

    assert drive(run, styles, theme="mono") <= {"default"}


def test_the_letter_t_with_shift_changes_between_dark_and_light(drive, run):
    async def script(app, pilot):
        names = [app.palette.name]
        for _ in range(2):
            await pilot.press("T")
            names.append(app.palette.name)
        return names

    assert drive(run, script) == ["mpsearch-dark", "mpsearch-light", "mpsearch-dark"]


def test_q_quits(drive, run):
    async def script(app, pilot):
        await pilot.press("q")
        await pilot.pause()
        return app._exit

    assert drive(run, script)
