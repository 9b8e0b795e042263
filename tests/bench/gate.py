"""The gate of a full extract, against the production of what it judges."""

from pathlib import Path

from bench.extracts import gate_command, has_passed, is_the_extract, is_the_set, produce_command, verify_command
from bench.measuring import Figure, Measurements, Thing, at_most, figure, rate, run_once, seconds
from bench.repositories import Repository

PRODUCE, VERIFY, GATE = "gate: produce alone", "gate: verify alone", "gate: verify, gather evidence, judge"


def measure(repository: Repository, folder: Path, measurements: Measurements) -> list[Figure]:
    """Measures, each with two workers, and gives the rows; a first production warms the database and is judged."""
    measurements.say("gate: warming the database")
    in_use = repository.in_use
    first = folder / "first"
    made = run_once(Thing("first", produce_command(repository, first, 2))).result
    things = [
        Thing(PRODUCE, produce_command(repository, folder / "again", 2), is_the_extract(made)),
        Thing(VERIFY, verify_command(first, made["manifest"]), is_the_set(in_use)),
        Thing(GATE, gate_command(repository, first, made["manifest"]), has_passed(in_use)),
    ]
    measurements.take_in_turn(things)

    def verification() -> Figure:
        production, verified = measurements[PRODUCE], measurements[VERIFY]
        ratio = verified.wall_s / production.wall_s
        return Figure(f"{VERIFY}, × production", rate(in_use.count, verified), seconds(production), ratio)

    def whole() -> Figure:
        production, gate = measurements[PRODUCE], measurements[GATE]
        ratio = (production.wall_s + gate.wall_s) / production.wall_s
        return Figure(
            f"{GATE}: production + gate, × production",
            f"{seconds(gate)}, of that {gate.result['judging_s']:.2f} s in the expectations",
            seconds(production),
            ratio,
            at_most(ratio, 2.5),
        )

    return [figure(VERIFY, verification), figure(GATE, whole)]
