from __future__ import annotations

from mpsearch.report.markup import Markup, element, joined


def test_text_is_escaped_and_markup_is_not():
    assert joined("a<b", Markup("<i>c</i>")) == "a&lt;b<i>c</i>"
    assert element("b", "<script>") == "<b>&lt;script&gt;</b>"
    assert element("p", [element("b", "&")], None) == "<p><b>&amp;</b></p>"


def test_attributes_are_quoted_left_out_or_bare():
    made = element("a", class_='x" onclick="y', hidden=True, id=None, checked=False, data_number=3)
    assert made == '<a class="x&quot; onclick=&quot;y" hidden data-number="3"></a>'


def test_an_element_without_content_is_not_closed():
    assert element("input", type="checkbox") == '<input type="checkbox">'
