"""A Party that was away for so long that the deltas it lacks are gone, on a line of 100 Mbit/s and 20 ms.

* While it was away 15 % of the pages were touched. It catches up by the changed pages of the newest full extract;
  another Party fetches that file whole. The operator's server, an sshd on loopback, is behind the line.
* Both follow the signed index, and come to the set digest that the repository has. The bytes are those that came over
  the line.
"""

import json
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.extracts import gate_command, has_passed, produce_command
from bench.line import Line
from bench.measuring import Figure, Measurements, Thing, Wanted, action, figure, megabytes, run_once
from bench.repositories import Repository, touch_pages
from bench.upload import find_sshd, running_sshd
from smki_demo.generator.index_signer import make_signer

BITS_A_SECOND, ROUND_TRIP_S = 100e6, 0.020
_PERCENT = 15  # of the pages
_MOST = 1 / 4  # of the file's bytes
_BY_PAGES, _WHOLE = "catching up by pages", "catching up by the whole file"


def measure(repository: Repository, folder: Path, measurements: Measurements) -> list[Figure]:
    """Measures once, and gives the rows."""
    if (program := find_sshd()) is None:
        return [Figure(_BY_PAGES, value="not measured: sshd is missing (apt-get install openssh-server)")]
    signer = make_signer(folder)
    with running_sshd(folder / "sshd", program) as server:
        site: dict[str, Any] = json.loads(json.dumps(asdict(server.site), default=str))
        common = {"url": repository.url, "site": site, "folder": folder}
        indexing = Thing("index", action("measured", "publish_index", **common, signer=signer))
        copying = {"folder": folder, "signer": signer["SMKI_INDEX_CERTIFICATE"]}

        measurements.say("catching up: the full extract before")
        manifest = run_once(Thing("full", produce_command(repository, folder, 2))).result["manifest"]
        run_once(Thing("gate", gate_command(repository, folder, manifest), has_passed(repository.in_use)))
        run_once(Thing("publish", action("measured", "publish_stored", **common, manifest=manifest, obligation="full")))
        run_once(indexing)
        run_once(Thing("copy", action("measured", "copy", site=site, **copying)))

        measurements.say(f"catching up: the next one, with {_PERCENT} % of the pages touched")
        day = repository.window.business_date + timedelta(days=1)
        touch_pages(repository, _PERCENT, day)
        renewing = action("measured", "renew", **common, day=day, predecessor=manifest, workers=2)
        size = run_once(Thing("renew", renewing, has_passed(repository.in_use))).result["bytes"]
        run_once(indexing)
        came: dict[str, int] = {}
        for name, copy in ((_BY_PAGES, "copy.sqlite"), (_WHOLE, "whole.sqlite")):
            with Line(site["port"], BITS_A_SECOND, ROUND_TRIP_S) as line:
                there = site | {"port": line.port}
                measurements.take(Thing(name, action("measured", "copy", site=there, into=copy, **copying)))
                came[name] = line.down.bytes
    return [figure(_BY_PAGES, lambda: _figure(repository, measurements, came, size))]


def _figure(repository: Repository, measurements: Measurements, came: dict[str, int], size: int) -> Figure:
    pages, whole = measurements[_BY_PAGES], measurements[_WHOLE]
    assert {pages.result, whole.result} == {str(repository.in_use)}
    ratio = came[_BY_PAGES] / came[_WHOLE]
    return Figure(
        f"catching up after {_PERCENT} % of the pages changed, over 100 Mbit/s and 20 ms",
        f"{megabytes(came[_BY_PAGES])} · {pages.wall_s:.0f} s",
        f"the whole file of {megabytes(size)}: {megabytes(came[_WHOLE])} · {whole.wall_s:.0f} s",
        ratio,
        Wanted(f"≤ {_MOST:g} of the bytes", ratio <= _MOST),
    )
