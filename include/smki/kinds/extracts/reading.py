"""Reads an extract for the gate: one that lies anywhere on a disk, or one of the store."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from smki.kinds.extracts.differences import ExamineAgain, OpenFile
from smki.obligations.catalogue import DeltaExtract, FullExtract, Kind
from smki.processes import Progress
from smki.store.manifest import Manifest, find_manifest
from smki.store.objects import Store
from smki.store.paged_file import PagedFile
from smki.verify.marks import Marks, Unit
from smki.verify.verification import Verification, check_units, examine_file


@dataclass(frozen=True, slots=True)
class ReadExtract:
    """An extract that has been examined, and how it is read again where something has to be named."""

    verification: Verification
    marks: Marks
    open: OpenFile
    examine_again: ExamineAgain
    pages: tuple[int, int] | None = None  # in the store: how many it has, and how many were taken over
    predecessor: str = ""  # name of the file from which they were

    def pages_in_words(self) -> Iterator[str]:
        """What the reader of a report has to know of its pages."""
        if self.pages is None:
            return
        total, taken_over = self.pages
        rendered = f"{total - taken_over:,} of its {total:,} pages were rendered and verified for this file"
        yield f"{rendered}, {taken_over:,} taken over from {self.predecessor}." if taken_over else f"{rendered}."


def has_rows(kind: Kind) -> bool:
    """Whether a file of this kind has to be examined with a row a record: the status beside each is judged."""
    return isinstance(kind, DeltaExtract) or (isinstance(kind, FullExtract) and len(kind.statuses) > 1)


@contextmanager
def read_file(
    file: Path, kind: Kind, schema: Path, workers: int = 1, progress: Progress = lambda _done, _of: None
) -> Iterator[ReadExtract]:
    """An extract that nobody has examined yet; its manifest beside it is used. Its marks end with the block."""
    manifest, keep_rows = find_manifest(file), has_rows(kind)

    def again(into: Marks, numbers: Sequence[int]) -> Sequence[int]:
        if manifest is not None:
            return _check_again(PagedFile.on_disk(file, manifest), schema, into, numbers)
        found = examine_file(file, schema, into, keep_rows=True)
        return [segment.number for segment in found.segments if not segment.fault]

    with TemporaryDirectory(prefix="smki-") as folder:
        marks = Marks.folder(Path(folder))
        verification = examine_file(
            file, schema, marks, manifest=manifest, workers=workers, keep_rows=keep_rows, progress=progress
        )
        yield ReadExtract(verification, marks, lambda: file.open("rb"), again)


def read_stored(
    store: Store, manifest: Manifest, schema: Path, verification: Verification, marks: Marks
) -> ReadExtract:
    """An extract that lies in the store and has been examined there."""
    paged = PagedFile.stored(store, manifest)
    return ReadExtract(
        verification,
        marks,
        paged.open,
        partial(_check_again, paged, schema),
        (len(manifest.pages), manifest.taken_over),
        manifest.predecessor,
    )


def _check_again(paged: PagedFile, schema: Path, into: Marks, numbers: Sequence[int]) -> Sequence[int]:
    into.units += [Unit(f"{number:05d}") for number in range(len(paged.units))]
    return [one.number for one in check_units(paged, numbers, schema, into, keep_rows=True) if not one.fault]
