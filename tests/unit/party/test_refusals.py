"""Every code has its section, with its way out."""

import re

from smki.party.refusals import Refusal
from smki.settings import PROJECT


def test_every_code_has_its_section():
    text = (PROJECT / "docs" / "party.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### (S\d\d): (.+?)$", text, re.MULTILINE))
    assert sections == {refusal.code: refusal.title for refusal in Refusal}
    assert text.count("**Way out:**") == len(Refusal)
