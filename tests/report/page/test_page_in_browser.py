"""The page as a reader meets it, in headless Chromium."""

from __future__ import annotations

import shutil
from importlib.resources import files

import pytest

from mpsearch.report.page.page_html import report_page
from mpsearch.report.units import bytes_text, joules_text, percent_text, seconds_text

PLOTS = (
    "front-chart",
    "effects-chart",
    "breakdown-chart",
    "measured-chart",
    "history-trials",
    "history-hours",
)


@pytest.fixture(scope="module")
def browser():
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip(
            "chromium not found: the report page cannot be opened here. Run `apt-get install chromium`."
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def file(deep_run, with_measured, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    names = ["conv1", "layer1.0.conv1<b>", "layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv2", "fc & more"]
    space = deep_run.__globals__["SPACE"] + "budgets: {latency: 40us}\n"
    run = with_measured(deep_run(folder, layers=names, trials=40, failure="</script> NaN", space=space))
    path = folder / "report.html"
    path.write_text(report_page(run), encoding="utf-8")
    return path, run


@pytest.fixture(scope="module")
def opened(browser, file):
    """One page for each width and theme, kept open: five megabytes take a while to read."""
    pages, problems, requests = {}, [], []

    def open_it(width, scheme):
        if (width, scheme) not in pages:
            viewport = {"width": width, "height": 900}
            context = browser.new_context(viewport=viewport, color_scheme=scheme)
            page = pages[width, scheme] = context.new_page()
            page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("request", lambda request: requests.append(request.url))
            page.goto(file[0].as_uri())
            page.wait_for_function("document.documentElement.dataset.ready === 'true'")
        return pages[width, scheme]

    yield open_it, problems, requests
    for page in pages.values():
        page.context.close()


@pytest.fixture
def open_page(opened):
    """Opens the page with nothing selected; no script may have failed, nothing been asked of a network."""
    open_it, problems, requests = opened

    def reset(*, width=1280, scheme="light"):
        page = open_it(width, scheme)
        page.mouse.move(1, 1)
        page.keyboard.press("Escape")
        return page

    yield reset
    assert problems == []
    assert {url.split(":")[0] for url in requests} <= {"file", "data", "blob"}


def show(page, name):
    """Bring a chart on the screen and wait until it has been drawn."""
    page.locator(f"#{name}").scroll_into_view_if_needed()
    page.wait_for_selector(f"#{name}[data-state=drawn]")


def marks(page, name, selector=".point"):
    show(page, name)
    return page.locator(f"#{name} {selector}").count()


def selected_rows(page):
    return [
        int(row.get_attribute("data-number")) for row in page.locator("#trials-table tr.is-selected").all()
    ]


def faded(page, name):
    """How many marks of a chart have stepped back."""
    show(page, name)
    return page.evaluate(
        "name => [...document.querySelectorAll(`#${name} .point, #${name} .point path`)]"
        ".filter(mark => Number(getComputedStyle(mark).opacity) < 0.3).length",
        name,
    )


def test_every_chart_is_drawn(open_page, file):
    page = open_page()
    complete = sum(record.is_complete for record in file[1].records)
    assert marks(page, "front-chart", ".scatterlayer .point") == complete
    for name in PLOTS:
        assert marks(page, name) > 0
    show(page, "parallel-chart")
    assert page.locator("#parallel-chart .axis-cell").count() == 6 * 6
    painted = page.evaluate(
        "() => { const c = document.querySelector('#parallel-chart canvas');"
        " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(value => value > 0); }"
    )
    assert painted


def test_a_box_in_the_front_selects_in_every_other_chart_and_the_table(open_page):
    page = open_page()
    assert faded(page, "history-trials") == 0
    show(page, "front-chart")
    area = page.locator("#front-chart .nsewdrag").first.bounding_box()
    page.mouse.move(area["x"] + 4, area["y"] + 4)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 0.6, area["y"] + area["height"] * 0.5, steps=8)
    page.mouse.up()
    page.wait_for_selector("#selection-bar:not([hidden])")
    chosen = selected_rows(page)
    assert 0 < len(chosen) < 39
    assert f"{len(chosen)} trial" in page.locator("#selection-text").inner_text()
    for name in ("front-chart", "history-trials", "history-hours"):
        assert faded(page, name) > 0
    show(page, "breakdown-chart")
    assert "selected" in page.locator("#breakdown-note").inner_text()
    page.keyboard.press("Escape")
    assert selected_rows(page) == []
    assert faded(page, "history-trials") == 0


def test_a_cell_of_the_parallel_coordinates_selects_the_trials_that_take_it(open_page, file):
    page = open_page()
    show(page, "parallel-chart")
    run = file[1]
    page.locator('#parallel-chart .axis-cell[aria-label^="conv1 at w4a8"]').click()
    expected = [r.number for r in run.records if r.is_complete and r.policy["conv1"].name == "w4a8"]
    assert sorted(selected_rows(page)) == expected
    page.locator('#parallel-chart .axis-cell[aria-label^="layer1.0.conv2 at w8a8"]').click()
    both = [number for number in expected if run.trial(number).policy["layer1.0.conv2"].name == "w8a8"]
    assert sorted(selected_rows(page)) == both
    assert both
    assert faded(page, "front-chart") > 0


def test_dragging_along_an_axis_of_numbers_selects_a_range(open_page, file):
    page = open_page()
    show(page, "parallel-chart")
    axis = page.locator('#parallel-chart [data-axis="accuracy"]').bounding_box()
    x = axis["x"] + axis["width"] / 2
    page.mouse.move(x, axis["y"] + 2)
    page.mouse.down()
    page.mouse.move(x, axis["y"] + axis["height"] * 0.5, steps=6)
    page.mouse.up()
    chosen = set(selected_rows(page))
    complete = [record for record in file[1].records if record.is_complete]
    least = min(record.accuracy for record in complete if record.number in chosen)
    assert chosen == {record.number for record in complete if record.accuracy >= least}
    assert 0 < len(chosen) < len(complete)


def test_a_row_of_the_table_selects_its_trial_everywhere(open_page):
    page = open_page()
    box = page.locator("#trials-table tbody tr:not(.beside) input").nth(1)
    number = int(page.locator("#trials-table tbody tr:not(.beside)").nth(1).get_attribute("data-number"))
    box.check()
    assert selected_rows(page) == [number]
    assert faded(page, "front-chart") > 0
    page.locator("#selection-clear").click()
    assert not box.is_checked()


def test_a_heading_sorts_both_ways_and_says_so(open_page):
    page = open_page()

    def column():
        values = page.locator("#trials-table tbody tr:not(.beside) td:nth-child(7)").all()
        return [float(cell.get_attribute("data-value")) for cell in values]

    head = page.locator("#trials-table th", has_text="memory")
    head.locator("button").click()
    assert column() == sorted(column())
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").click()
    assert column() == sorted(column(), reverse=True)
    assert page.locator("#trials-table th[aria-sort]").count() == 1


def test_all_trials_show_on_demand(open_page):
    page = open_page()
    assert page.locator("#trials-table tbody tr:visible").count() < 39
    page.locator("#table-all").click()
    assert page.locator("#trials-table tbody tr:visible").count() == 39


def test_axes_can_be_chosen(open_page):
    page = open_page()
    show(page, "front-chart")
    page.select_option("#front-x", "memory")
    page.wait_for_function(
        "document.querySelector('#front-chart .xtitle').textContent.startsWith('memory of the weights')"
    )
    page.select_option("#front-y", "memory")  # the other axis must give way
    assert page.input_value("#front-x") == "accuracy"
    page.select_option("#front-x", "latency")
    page.select_option("#front-y", "accuracy")


def test_the_arrow_keys_walk_along_the_front(open_page, file):
    page = open_page()
    show(page, "front-chart")
    page.locator("#front-chart").focus()
    along = sorted(file[1].front.records, key=lambda record: record.latency_s)
    page.keyboard.press("ArrowRight")
    assert f"Trial {along[0].number}" in page.locator("#card h3").inner_text()
    page.keyboard.press("ArrowRight")
    assert f"Trial {along[1].number}" in page.locator("#card h3").inner_text()
    page.keyboard.press("Enter")
    assert selected_rows(page) == [along[1].number]


def test_a_mark_under_the_pointer_shows_its_policy_costs_and_interval(open_page, file):
    page = open_page()
    show(page, "front-chart")
    star = page.locator("#front-chart .scatterlayer .trace").last.locator(".point").bounding_box()
    page.mouse.move(star["x"] + star["width"] / 2, star["y"] + star["height"] / 2)
    page.wait_for_selector("#tooltip:not([hidden])")
    text = page.locator("#tooltip").inner_text()
    knee = file[1].front.knee()
    for part in (
        f"Trial {knee.number}",
        "±",
        percent_text(knee.accuracy),
        seconds_text(knee.costs.latency_s),
    ):
        assert part in text
    assert page.locator("#tooltip .strip i").count() == 6


def test_the_theme_follows_the_system_and_can_be_changed(open_page):
    page = open_page(scheme="dark")

    def background():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    def ink():
        show(page, "front-chart")
        return page.evaluate("getComputedStyle(document.querySelector('#front-chart .xtick text')).fill")

    dark, dark_ink = background(), ink()
    page.locator("#theme-toggle").click()
    assert background() != dark
    assert ink() != dark_ink
    assert page.locator("#theme-toggle").inner_text() == "Dark"
    page.locator("#theme-toggle").click()
    assert background() == dark
    page.emulate_media(color_scheme="light")  # a choice outlives what the system says later
    assert background() == dark


def test_paper_is_white_also_from_a_dark_screen(open_page):
    page = open_page(scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert all(page.locator(f"#{name} .main-svg").count() > 0 for name in PLOTS)
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_narrow_screen_never_scrolls_sideways(open_page):
    page = open_page(width=390)
    for width in (390, 768, 320):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_timeout(200)  # the page waits until a window rests
        for name in (*PLOTS, "parallel-chart"):
            show(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.keyboard.press("Home")
    page.evaluate("['beforeprint', 'afterprint'].forEach(name => window.dispatchEvent(new Event(name)))")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_names_show_as_they_are_in_every_chart(open_page):
    page = open_page()
    show(page, "effects-chart")
    ticks = page.locator("#effects-chart .ytick text").all_text_contents()
    assert {"layer1.0.conv1<b>", "fc & more"} <= {tick.strip() for tick in ticks}
    show(page, "parallel-chart")
    names = page.locator("#parallel-chart .axis-name").all_text_contents()
    assert any(name.startswith("fc & more") for name in names)


def test_every_control_has_a_name(open_page):
    page = open_page()
    nameless = page.evaluate(
        "() => [...document.querySelectorAll("
        "'button, select, input, [role=button], [role=img], [tabindex]')]"
        ".filter(n => !n.getAttribute('aria-label') && !n.textContent.trim() && !n.labels?.length)"
        ".map(node => node.outerHTML.slice(0, 80))"
    )
    assert nameless == []


def test_quantities_read_as_elsewhere_in_mpsearch(browser):
    script = (files("mpsearch.report.page") / "assets" / "format.js").read_text(encoding="utf-8")
    values = [0.0, 3e-12, 9.994e-7, 9.9951e-7, 8.447e-6, 0.000312, 0.9994, 0.9996, 1, 7, 59.94, 59.96, 3725,
              1e5, 20656, 999.4, 999500, 1.5e9]  # fmt: skip
    texts = {"1": percent_text, "s": seconds_text, "B": bytes_text, "J": joules_text}
    page = browser.new_page()
    for unit, text in texts.items():
        given = [value for value in values if unit != "B" or value == int(value)]
        found = page.evaluate(
            f"([unit, values]) => {{ {script}\n return values.map(value => quantity(unit, value)); }}",
            [unit, given],
        )
        assert found == [text(value) for value in given]
    page.close()
