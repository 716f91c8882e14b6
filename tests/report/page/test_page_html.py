"""The page as a file: whole, and safe whatever names it holds."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from mpsearch.report.page.page_html import report_page, script_json

HOSTILE = "</script><script>window.broken=1</script><img src=x onerror=window.broken=1>\u2028&amp;\"'`$x {{}}"
ADDRESSES = frozenset({"src", "href", "action", "data", "poster", "srcset", "formaction"})


class Elements(HTMLParser):
    """Tags with their attributes, and what stands in them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags, self.scripts, self.texts, self._in = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._in = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._in = ""

    def handle_data(self, data):
        if self._in == "script":
            self.scripts[-1] += data
        elif self._in != "style":
            self.texts.append(data)

    @property
    def data(self):
        place = [t for t, _ in self.tags].index("script")
        kinds = [attributes for tag, attributes in self.tags if tag == "script"]
        place = next(i for i, attributes in enumerate(kinds) if attributes.get("id") == "run-data")
        return json.loads(self.scripts[place])


def test_nothing_is_fetched_from_anywhere(finished_run):
    page = report_page(finished_run)
    found = Elements(page)
    addresses = [
        value for _, attributes in found.tags for name, value in attributes.items() if name in ADDRESSES
    ]
    assert addresses
    assert all(address.startswith("#") for address in addresses)
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert len(styles) == 1
    assert not re.search(r"url\(|@import", styles[0])
    assert "default-src 'none'" in page


def test_hostile_names_stay_text(deep_run, tmp_path):
    layers = [f"layer{place}{HOSTILE}" for place in range(4)]
    mild = report_page(deep_run(tmp_path, layers=4, trials=20, failure="it broke"))
    run = deep_run(tmp_path / HOSTILE.replace("/", "_"), layers=layers, trials=20, failure=HOSTILE)
    task = replace(run.space.task, args={"model": HOSTILE})
    run = replace(run, space=replace(run.space, name=HOSTILE, task=task), metric=HOSTILE)
    found, usual = Elements(report_page(run)), Elements(mild)
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in usual.tags]
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert found.data["layers"][0]["name"] == layers[0]
    assert found.data["metric"] == HOSTILE
    assert any(HOSTILE in text for text in found.texts)


def test_json_in_a_script_holds_no_letter_that_could_end_it():
    text = script_json({"<!--": "</script>&\u2028\u2029"})
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == {"<!--": "</script>&\u2028\u2029"}


@pytest.mark.parametrize("trials", [0, 1, 3])
def test_a_run_that_has_just_begun_has_a_page(finished_run, trials):
    page = report_page(replace(finished_run, records=finished_run.records[:trials]))
    assert ("No trial has finished yet." in page) == (trials == 0)
    assert "Hardware and settings" in page


def test_a_run_of_failures_only_says_why_each_failed(finished_run):
    failed = [
        replace(r, state="failed", score=None, failure=f"reason {r.number}") for r in finished_run.records[:3]
    ]
    page = report_page(replace(finished_run, records=tuple(failed)))
    assert "No trial has finished yet." in page
    assert "reason 2" in page


def test_unmeasured_latencies_come_with_the_command_that_measures_them(finished_run, with_measured):
    assert f"mpsearch bench {finished_run.path}" in report_page(finished_run)
    page = report_page(with_measured(finished_run, machine="Another processor"))
    assert "on Another processor" in page
    assert "off by 4.8% in the median" in page  # 1 / 1.05 - 1


def test_every_trial_is_in_the_table_and_only_named_and_front_ones_show_at_first(finished_run):
    rows = [a for tag, a in Elements(report_page(finished_run)).tags if tag == "tr" and "data-number" in a]
    complete = [record.number for record in finished_run.records if record.is_complete]
    assert sorted(int(row["data-number"]) for row in rows) == complete
    shown = {int(row["data-number"]) for row in rows if row.get("class") != "beside"}
    assert set(finished_run.front.numbers) <= shown < set(complete)


def test_a_large_run_stays_a_file_to_share(deep_run, tmp_path):
    page = report_page(deep_run(tmp_path, layers=60, trials=250))
    data = Elements(page).data
    assert len(data["trials"]["numbers"]) == 250
    assert len(json.dumps(data)) < 300_000
    assert len(page) < 6_000_000  # of which Plotly has 4.8 million


def test_the_same_run_gives_the_same_page(finished_run):
    moment = "2026-01-01T10:20:30+00:00"
    page = report_page(finished_run, created=moment)
    assert page == report_page(finished_run, created=moment)
    assert "2026-01-01 10:20 UTC" in page
