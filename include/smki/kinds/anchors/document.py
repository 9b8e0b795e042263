"""The document that says which certificate may be placed in which Device anchor slot (Appendix O 2.3.3).

One HTML page that needs nothing else: no script, no font, no picture. It reads on a screen and in a narrow window,
light and dark, and prints. Its octets depend on configuration and certificates alone; it states the configuration's
digest and the two files' content digests instead of a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from smki.certificates.model import CertificateClass, eui64_text
from smki.kinds.anchors.rules import role_name
from smki.kinds.anchors.slots import (
    REGIONAL_SLOT,
    AnchorCertificate,
    AnchorSet,
    DeviceType,
    PlacedCertificate,
    Region,
    Slot,
)
from smki.kinds.anchors.style import STYLE


@dataclass(frozen=True, slots=True)
class DescribedFile:
    """One of the two files, as the document describes it."""

    name: str
    clause: str
    content_digest: str  # SHA-256 of the XML, hex
    records: int


def render_document(anchor_set: AnchorSet, files: Mapping[Region, DescribedFile]) -> bytes:
    """The HTML page."""
    numbers = {certificate: f"C{n}" for n, certificate in enumerate(anchor_set.certificates(), start=1)}
    body = "\n".join(
        [
            _opening(anchor_set),
            _section("matrix", "Which Device has which slot", _matrix(anchor_set)),
            _section("devices", "What may be placed where", _devices(anchor_set, numbers)),
            _section("certificates", "The certificates", _certificates(anchor_set, numbers)),
            _section("files", "The files", _files(anchor_set, files)),
        ]
    )
    page = (
        '<!DOCTYPE html>\n<html lang="en-GB">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>Device anchor slots – SMKI Repository</title>\n<style>\n{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
    return page.encode("utf-8")


def _opening(anchor_set: AnchorSet) -> str:
    configuration = anchor_set.configuration
    return (
        '<header>\n<p class="kicker">SMKI Repository · SEC Appendix O 2.3.3</p>\n<h1>Device anchor slots</h1>\n'
        "<p>Which certificate of the base set may be placed in which anchor slot of a Device prior to its "
        "installation. The North Region and the Central and South Regions differ in the "
        f"{escape(_title(REGIONAL_SLOT))} slot and nowhere else.</p>\n"
        f'<p class="revision">Revision <b>{escape(configuration.revision)}</b> · configuration SHA-256 '
        f"{_hex(configuration.digest)}</p>\n"
        '<nav aria-label="Contents"><a href="#matrix">Slots</a> <a href="#devices">Devices</a> '
        '<a href="#certificates">Certificates</a> <a href="#files">Files</a></nav>\n</header>'
    )


def _section(key: str, title: str, content: str) -> str:
    return f'<section id="{key}">\n<h2>{escape(title)}</h2>\n{content}\n</section>'


def _matrix(anchor_set: AnchorSet) -> str:
    """Slots × types of Device; in a narrow window it scrolls within itself, its first column standing."""
    devices = anchor_set.configuration.devices
    heads = "".join(
        f'<th scope="col"><abbr title="{escape(device.title)}">{escape(device.name)}</abbr></th>' for device in devices
    )
    rows = []
    for slot in _used_slots(anchor_set):
        cells = "".join(
            f'<td class="mark">{_mark(slot)}</td>' if slot in device.slots else '<td class="none">–</td>'
            for device in devices
        )
        rows.append(f'<tr><th scope="row">{_slot(slot)}</th>{cells}</tr>')
    return (
        '<p class="legend"><span><span class="dot"></span> the slot exists</span> '
        '<span><span class="dot split"></span> its certificate differs by region</span> '
        "<span>DS digital signature</span> <span>KA key agreement</span></p>\n"
        '<div class="scroll" tabindex="0" role="region" aria-label="Slots by type of Device"><table class="matrix">\n'
        f'<thead><tr><th scope="col">Slot</th>{heads}</tr></thead>\n<tbody>\n{_lines(rows)}</tbody>\n</table></div>'
    )


def _mark(slot: Slot) -> str:
    if slot is REGIONAL_SLOT:
        return '<span class="dot split" role="img" aria-label="yes, by region"></span>'
    return '<span class="dot" role="img" aria-label="yes"></span>'


def _devices(anchor_set: AnchorSet, numbers: Mapping[AnchorCertificate, str]) -> str:
    intro = (
        "<p>Where a slot lists several certificates, any one of them may be placed in it. A <i>placeholder</i> stands "
        "in for a party that is not known before installation.</p>"
    )
    parts = [intro]
    for device in anchor_set.configuration.devices:
        rows = "".join(_device_rows(device, slot, anchor_set, numbers) for slot in device.slots)
        head = f"<h3><b>{escape(device.name)}</b> {escape(device.title)}</h3>"
        table = _table(["Slot", "Certificate", "Subject", "Serial number"], rows)
        parts.append(f"<article>\n{head}\n{table}\n</article>")
    return "\n".join(parts)


def _table(columns: Sequence[str], rows: str) -> str:
    """A table that becomes a list in a narrow window; its cells carry their column's name for that."""
    heads = "".join(f'<th scope="col">{column}</th>' for column in columns)
    return f'<table class="places">\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>'


def _device_rows(
    device: DeviceType, slot: Slot, anchor_set: AnchorSet, numbers: Mapping[AnchorCertificate, str]
) -> str:
    """A row for each certificate of the slot; the slot's name spans them."""
    placed = [one for one in anchor_set.placed if one.placement.slot is slot]
    rows = []
    for position, one in enumerate(placed):
        name = f'<th scope="rowgroup" rowspan="{len(placed)}">{_slot(slot)}</th>' if position == 0 else ""
        css = ' class="first"' if position == 0 and slot is not device.slots[0] else ""
        rows.append(
            f'<tr{css}>{name}<td data-label="Certificate">{_number(numbers[one.certificate])}{_tags(one)}</td>'
            f'<td data-label="Subject"><span>{_subject(one.certificate)}</span></td>'
            f'<td data-label="Serial number">{_hex(one.certificate.serial)}</td></tr>'
        )
    return _lines(rows)


def _certificates(anchor_set: AnchorSet, numbers: Mapping[AnchorCertificate, str]) -> str:
    cards = []
    for certificate, number in numbers.items():
        placed = [one for one in anchor_set.placed if one.certificate == certificate]
        regions = sorted({one.placement.region for one in placed if one.placement.region}, key=list(Region).index)
        facts = [
            ("SHA-256", _hex(certificate.sha256)),
            ("Serial number", _hex(certificate.serial)),
            ("Issuer", escape(certificate.issuer)),
            ("Subject", _subject(certificate)),
            ("Class", "OCA" if certificate.certificate_class is CertificateClass.OCA else "Organisation"),
            ("Remote party role", escape(role_name(certificate.role))),
            ("Usage", _usage(certificate)),
            ("Valid", f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d} (UTC)"),
            ("Region", " and ".join(region.words for region in regions) if regions else "both"),
            ("Slots", "<br>".join(_slot(one.placement.slot) + _placeholder(one) for one in placed)),
        ]
        listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
        cards.append(
            f'<article class="card" id="{number}"><h3><b>{number}</b> {escape(_card_title(placed))}</h3>'
            f"<dl>{listed}</dl></article>"
        )
    return f'<div class="cards">\n{_lines(cards)}</div>'


def _files(anchor_set: AnchorSet, files: Mapping[Region, DescribedFile]) -> str:
    rows = [
        f'<tr><th scope="row">{region.words}</th><td data-label="File"><code>{escape(file.name)}</code></td>'
        f'<td data-label="Clause">{escape(file.clause)}</td><td data-label="Certificates">{file.records}</td>'
        f'<td data-label="SHA-256 of the XML">{_hex(file.content_digest)}</td></tr>'
        for region, file in files.items()
    ]
    differing = [(region, [p for p in anchor_set.of_region(region) if p.placement.region]) for region in Region]
    listed = "; ".join(
        f"{region.words}: {', '.join(_subject(one.certificate) for one in placed)}" for region, placed in differing
    )
    table = _table(["Region", "File", "Clause", "Certificates", "SHA-256 of the XML"], _lines(rows))
    return (
        f"<p>Each holds one XML file that complies with Annex B. They differ in the {escape(_title(REGIONAL_SLOT))} "
        f"slot: {listed}.</p>\n{table}"
    )


def _used_slots(anchor_set: AnchorSet) -> Sequence[Slot]:
    return [slot for slot in Slot if anchor_set.configuration.devices_with(slot)]


def _title(slot: Slot) -> str:
    usage = slot.terms.usage
    return f"{slot.terms.title} {usage}" if usage else slot.terms.title


def _slot(slot: Slot) -> str:
    usage = slot.terms.usage
    badge = f' <span class="usage">{usage}</span>' if usage else ""
    return f'<span class="slot">{escape(slot.terms.title)}{badge}</span>'


def _card_title(placed: Sequence[PlacedCertificate]) -> str:
    """What the certificate is for: the slot that is its own, or the first where it is a placeholder."""
    own = next((one for one in placed if not one.placement.reference.placeholder), placed[0])
    return _title(own.placement.slot)


def _tags(placed: PlacedCertificate) -> str:
    region = placed.placement.region
    tag = f' <span class="tag {region}">{region.words}</span>' if region else ""
    return tag + _placeholder(placed)


def _placeholder(placed: PlacedCertificate) -> str:
    return ' <span class="tag">placeholder</span>' if placed.placement.reference.placeholder else ""


def _number(number: str) -> str:
    return f'<a href="#{number}">{number}</a>'


def _subject(certificate: AnchorCertificate) -> str:
    parts = [escape(certificate.common_name)] if certificate.common_name else []
    if certificate.eui64 is not None:
        parts.append(f'<code class="eui64">{eui64_text(certificate.eui64)}</code>')
    return " · ".join(parts)


def _usage(certificate: AnchorCertificate) -> str:
    words = {"DS": "digital signature (DS)", "KA": "key agreement (KA)", None: "certificate signing"}
    return words[certificate.usage]


def _hex(digits: str) -> str:
    """Hex in groups of eight digits, between which a line may break."""
    return f"<code>{'<wbr>'.join(digits[start : start + 8] for start in range(0, len(digits), 8))}</code>"


def _lines(parts: Iterable[str]) -> str:
    return "".join(f"{part}\n" for part in parts)
