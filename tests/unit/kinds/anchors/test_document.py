"""The document and its table, from values alone."""

import csv
import hashlib
import io
from dataclasses import replace
from datetime import date

import pytest
from lxml import html

from smki.kinds.anchors.document import COLUMNS, DescribedFile, render_document, render_table
from smki.kinds.anchors.slots import AnchorSet, Region, Slot

FILES = {
    Region.NORTH: DescribedFile("NORTH.xml.gz", "clause (e)", "ab" * 32, 17),
    Region.CENTRAL_SOUTH: DescribedFile("SOUTH.xml.gz", "clause (f)", "cd" * 32, 17),
}


TABLE, INDEX = "SLOTS.csv", "INDEX.json"


@pytest.fixture
def page(anchor_set: AnchorSet) -> html.HtmlElement:
    return html.document_fromstring(render_document(anchor_set, FILES, TABLE, INDEX))


def text(element: html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def test_document_says_for_each_device_which_certificate_may_be_placed_in_which_slot(page, anchor_set: AnchorSet):
    """Appendix O 2.3.3: a document says which of the base set may be placed in which Device anchor slot."""
    articles = page.xpath("//section[@id='devices']/article")
    devices = anchor_set.configuration.devices
    assert len(articles) == len(devices)
    for article, device in zip(articles, devices, strict=True):
        assert text(article.find("h3")) == f"{device.name} {device.title}"
        rows = article.xpath(".//tbody/tr")
        serials = [text(row.xpath(".//td")[-1]) for row in rows]
        expected = [one for slot in device.slots for one in anchor_set.placed if one.placement.slot is slot]
        assert serials == [one.certificate.serial for one in expected]


def test_document_states_every_fact_of_every_certificate(page, anchor_set: AnchorSet):
    cards = page.xpath("//article[contains(@class, 'card')]")
    assert len(cards) == len(anchor_set.certificates())
    for card, certificate in zip(cards, anchor_set.certificates(), strict=True):
        said = text(card)
        assert certificate.sha256 in said
        assert certificate.serial in said
        assert certificate.issuer in said
        assert certificate.subject in said
        assert f"({certificate.role})" in said
        assert f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}" in said


def test_document_shows_what_differs_by_region_and_what_stands_in(page):
    (hub,) = [a for a in page.xpath("//section[@id='devices']/article") if text(a.find("h3")).startswith("CHF")]
    assert [text(tag) for tag in hub.xpath(".//span[contains(@class, 'tag')]")] == ["North", "Central and South"]
    (meter,) = [a for a in page.xpath("//section[@id='devices']/article") if text(a.find("h3")).startswith("GSME")]
    assert [text(tag) for tag in meter.xpath(".//span[@class='tag']")] == ["placeholder", "placeholder"]


def test_document_names_both_files_and_the_configuration_they_are_made_from(page, anchor_set: AnchorSet):
    said = text(page)
    for file in FILES.values():
        assert file.name in said
        assert file.content_digest in said
    assert anchor_set.configuration.digest in said
    assert {TABLE, INDEX} <= set(page.xpath("//section[@id='files']//code/text()"))


def test_document_and_table_state_the_date_of_the_configuration_where_it_has_one(anchor_set: AnchorSet):
    dated = AnchorSet(replace(anchor_set.configuration, dated=date(2026, 3, 1)), anchor_set.placed)
    (stated,) = html.document_fromstring(render_document(dated, FILES, TABLE)).xpath("//header//time/@datetime")
    assert stated == "2026-03-01"
    rows = csv.DictReader(io.StringIO(render_table(dated).decode("utf-8"), newline=""))
    assert {row["configuration_date"] for row in rows} == {"2026-03-01"}


def test_document_needs_nothing_from_elsewhere(page):
    assert not page.xpath("//script | //img | //link | //iframe | //@src")
    assert all(link.startswith("#") for link in page.xpath("//@href"))
    targets = set(page.xpath("//@id"))
    assert {link[1:] for link in page.xpath("//@href")} <= targets
    assert "@import" not in text(page.find(".//style"))
    assert "url(" not in text(page.find(".//style"))


def test_document_escapes_what_certificates_and_configuration_say(anchor_set: AnchorSet):
    evil = """<script>alert("&")</script> it's"""
    placed = tuple(
        replace(one, certificate=replace(one.certificate, common_name=evil, issuer=evil)) for one in anchor_set.placed
    )
    devices = tuple(replace(device, name=evil, title=evil) for device in anchor_set.configuration.devices)
    configuration = replace(anchor_set.configuration, revision=evil, devices=devices)
    content = render_document(AnchorSet(configuration, placed), FILES, TABLE, INDEX)
    page = html.document_fromstring(content)
    assert not page.xpath("//script")
    assert evil in text(page)
    assert b"&quot;&amp;&quot;" in content
    assert b"it&#x27;s" in content, "as Python's html escapes it: other spellings would be other bytes"


def test_bytes_of_document_and_table_do_not_change_without_a_new_version(anchor_set: AnchorSet):
    """Their digests are published: where this fails on purpose, every site is sent the set again."""
    page, table = render_document(anchor_set, FILES, TABLE, INDEX), render_table(anchor_set)
    assert [hashlib.sha256(content).hexdigest() for content in (page, table)] == [
        "51117040066a17a7ebaa946020a24e66540fbe43b9cbfd10f533a39004924b82",
        "52e781cb4166d730207248e38ad431b27161d7c884ddeeca74e8aa495deedb3e",
    ]


def test_document_and_table_are_the_same_each_time(anchor_set: AnchorSet):
    assert render_document(anchor_set, FILES, TABLE, INDEX) == render_document(anchor_set, FILES, TABLE, INDEX)
    assert render_table(anchor_set) == render_table(anchor_set)


def test_table_has_a_row_for_each_device_slot_region_and_certificate(anchor_set: AnchorSet):
    rows = list(csv.DictReader(io.StringIO(render_table(anchor_set).decode("utf-8"), newline="")))
    assert tuple(rows[0]) == COLUMNS
    expected = {
        (device.key, one.placement.slot, region, one.certificate.sha256)
        for device in anchor_set.configuration.devices
        for region in Region
        for one in anchor_set.of_region(region)
        if one.placement.slot in device.slots
    }
    assert {(row["device_type"], row["slot"], row["region"], row["sha256"]) for row in rows} == expected
    assert len(rows) == len(expected)
    wan = [row for row in rows if row["slot"] == Slot.WAN_PROVIDER_DS]
    assert {row["region"]: row["serial_number"] for row in wan} == {"north": "0B", "central_south": "0C"}
    assert {row["usage"] for row in rows if row["slot"] == "root"} == {""}
