"""The traces of requests on top of the recipe are what really goes over the wire."""

import re

from integration.publish.recording import record
from smki.publish import recipe
from smki.publish.recipe import publish_file
from smki.publish.site import open_sftp


def stated(traces):
    """The requests in some lines of the recipe."""
    lines = re.findall(r"^    ([A-Z].*)$", traces, re.MULTILINE)
    return [request for line in lines for request in line.split(" · ")]


PLAIN, WITH_COPIES = map(stated, recipe.__doc__.split("\n\n`publish_file`")[0].split("Where the server has pages"))


def requests_of_publishing(site, content, source=None):
    final = f"{site.folder}/FULL.xml.gz"
    with open_sftp(site) as sftp:
        names = {"folder": site.folder, "final": final, ".part": f"{site.folder}/.FULL.xml.gz.part"}
        recording = record(sftp, old=f"{site.folder}/OLD.xml.gz", **names)
        publish_file(sftp, content, final, content.sha256(), lambda _done, _total: None, source=source)
    return recording.trace()


def test_requests_are_those_that_the_recipe_states(site_server, staged):
    site_server.published.mkdir()
    assert requests_of_publishing(site_server.site, staged) == PLAIN


def test_requests_with_copies_are_those_that_the_recipe_states(site_server, paginate, copy_source):
    pages = [bytes([number]) * 100 for number in range(8)]
    old, new = paginate(pages, "OLD.xml.gz"), paginate([*pages[:3], b"changed", *pages[4:]])
    source = copy_source(site_server, old, new, known_whole=True)
    assert requests_of_publishing(site_server.site, new, source) == WITH_COPIES


def test_folder_that_is_missing_is_the_only_other_request(sshd, staged):
    trace = requests_of_publishing(sshd.site, staged)
    assert [request for request in trace if request not in PLAIN] == ["MKDIR"]
