"""What every DAG of the project keeps to, and when the extract DAGs run."""

import ast
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.serialization.serialized_objects import DagSerialization

from builders import ANCHOR_SLOTS, DAILY_DELTA, FULL_EXTRACT, REVOCATION_LISTS
from smki.errors import EarlyWindowError, PublicationRefusedError, RepositoryUnavailableError, SiteLoginError
from smki.kinds.extracts.plan import in_shares
from smki.obligations.catalogue import FullExtract, UserGuide
from smki.publish.garbage import GRACE
from smki.settings import PROJECT
from smki.store.pages import PAGES_2
from smki.watch.look import LOOK_FOR_S
from smki_airflow.board.runbook import rendered_runbook
from smki_airflow.defaults import DEFAULT_ARGS, HELD_FOR
from smki_airflow.names import AUDITOR, HOUSEKEEPING, JUDGE, PUBLISHED, RELEASE, RETENTION, lane_pool, publish_task
from smki_airflow.publishing.gate import GateOperator

DAGS = PROJECT / "dags"
PUBLISH_NOTHING = {RETENTION, AUDITOR, HOUSEKEEPING}
CHANGE_SITE = (publish_task("primary"), "publish_index_primary", "remove_files_primary")


@pytest.fixture(scope="module")
def dags():
    bag = DagBag(DAGS)
    assert bag.import_errors == {}
    return bag.dags


def test_there_is_one_dag_a_file_named_like_it(dags):
    assert set(dags) == {file.stem for file in DAGS.glob("*.py")}


def test_every_dag_has_owner_tags_and_a_runbook(dags):
    anchors = set(re.findall(r'id="([^"]+)"', rendered_runbook()))
    for dag in dags.values():
        assert dag.owner != "airflow"
        assert "smki" in dag.tags
        assert "A task failed" in dag.doc_md
        assert "Backfill" in dag.doc_md
        sections = re.findall(r"\]\(/smki/board/runbook#([^)]+)\)", dag.doc_md)
        assert sections, dag.dag_id
        assert set(sections) <= anchors, dag.dag_id


def test_tags_name_the_clauses_that_a_dag_is_for(dags, user_guide: UserGuide):
    for dag_id in user_guide.dags:
        clauses = {one.clause.removeprefix("SEC Appendix O ") for one in user_guide.published_by(dag_id)}
        assert {tag for tag in dags[dag_id].tags if tag.startswith("2.3.3 (")} <= clauses
    assert {"extract", "2.3.3 (a)"} <= dags[FULL_EXTRACT].tags
    assert {"extract", "2.3.3 (b)"} <= dags[DAILY_DELTA].tags
    assert {"revocation", "2.3.3 (c)", "2.3.3 (d)"} <= dags[REVOCATION_LISTS].tags
    assert {"anchors", "2.3.3 (e)", "2.3.3 (f)"} <= dags[ANCHOR_SLOTS].tags
    assert "2.3.3 (b)" in dags[RETENTION].tags
    assert {f"2.3.3 ({letter})" for letter in "abcdef"} <= dags[AUDITOR].tags


def test_params_have_valid_defaults_and_those_of_the_command_line(dags, user_guide: UserGuide):
    for dag in dags.values():
        dag.params.validate()  # a param without a valid default keeps every scheduled run from starting
    for dag_id in user_guide.dags:
        is_full = any(isinstance(one.kind, FullExtract) for one in user_guide.published_by(dag_id))
        assert ("any_day" in dags[dag_id].params) == is_full
    assert {dags[name].params["dry_run"] for name in PUBLISH_NOTHING} == {False}


def test_every_task_has_retries_a_policy_by_kind_of_error_and_a_timeout(dags):
    for dag in dags.values():
        assert dag.dagrun_timeout
        for task in dag.tasks:
            arguments = task.partial_kwargs if task.is_mapped else vars(task)
            assert arguments.get("retries", 0) >= 3, task.task_id
            assert arguments.get("retry_policy") is not None, task.task_id
            assert arguments.get("execution_timeout"), task.task_id


def test_data_errors_fail_at_once_and_transport_errors_are_retried():
    policy = DEFAULT_ARGS["retry_policy"]
    for error in (PublicationRefusedError, SiteLoginError):
        assert policy.evaluate(error("item", "rule."), 1, 6).action is RetryAction.FAIL
    for error in (RepositoryUnavailableError, EarlyWindowError):
        assert policy.evaluate(error("item", "rule."), 1, 6).action is not RetryAction.FAIL


def test_sixteen_workers_have_work_in_a_full_extract(dags):
    """Of 17.6 million certificates, from scratch; what a renewal leaves to do is less than Airflow's starts take."""
    segments = range(-(-17_600_000 // PAGES_2.segment_certificates))
    assert len(in_shares(segments)) >= 16
    for task_id in ("render", "verify"):
        task = dags[FULL_EXTRACT].get_task(task_id)
        assert task.max_active_tis_per_dag is None
        assert task.pool_slots == 1
        assert task.pool == "default_pool"
    assert dags[FULL_EXTRACT].max_active_tasks >= 16


def test_only_what_changes_a_site_takes_a_lane_of_it_and_lists_have_their_own(dags, user_guide: UserGuide):
    lanes = {lane_pool("primary", in_place=in_place): in_place for in_place in (False, True)}
    for dag_id, dag in dags.items():
        in_place = {one.replaced_in_place for one in user_guide.published_by(dag_id)}
        for task in dag.tasks:
            pool = task.partial_kwargs.get("pool") if task.is_mapped else task.pool
            changes_site = task.task_id.rpartition(".")[2] in CHANGE_SITE
            assert (pool in lanes) == changes_site, task.task_id
            is_index = task.task_id.rpartition(".")[2] == "publish_index_primary"
            assert not changes_site or lanes[pool] == (is_index or in_place == {True})


def test_what_fails_in_retention_stops_nothing_else_and_fails_the_run(dags):
    """Airflow judges a run by the tasks that nothing follows."""
    dag = dags[RETENTION]
    assert dag.get_task("publish_index_primary").upstream_task_ids == {"remove_files_primary"}
    assert dag.get_task("collect_garbage").upstream_task_ids == {"clear_quarantine"}
    assert {dag.get_task(name).trigger_rule for name in ("publish_index_primary", "collect_garbage")} == {"all_done"}
    judged = {task.task_id for task in dag.leaves if task.trigger_rule in ("all_success", "none_failed")}
    upstream = {name for task_id in judged for name in dag.get_task(task_id).upstream_task_ids}
    assert {"remove_files_primary", "clear_quarantine", "collect_garbage"} <= upstream


def test_lists_go_before_deltas_and_deltas_before_full_extracts(dags):
    def weights(dag_id):
        tasks = dags[dag_id].tasks
        return {(task.partial_kwargs if task.is_mapped else vars(task))["priority_weight"] for task in tasks}

    (lists,), (deltas,), (fulls,) = map(weights, (REVOCATION_LISTS, DAILY_DELTA, FULL_EXTRACT))
    assert lists > deltas > fulls


def test_a_site_that_is_slow_to_look_at_keeps_no_other_from_its_next_look(dags):
    dag = dags[AUDITOR]
    assert dag.max_active_runs > 1
    (task,) = dag.tasks
    assert (task.task_id, task.max_active_tis_per_dag) == ("audit_primary", None), (
        "a look that waits uses its run's time up"
    )
    assert task.execution_timeout is not None
    assert timedelta(seconds=LOOK_FOR_S + 240) < task.execution_timeout, "two answers that do not come, beyond it"


def test_nothing_is_published_but_by_way_of_the_gate_and_whoever_has_to_release(dags):
    for dag_id in dags.keys() - PUBLISH_NOTHING:
        dag = dags[dag_id]
        publishing = [task for task in dag.tasks if task.task_id.rpartition(".")[2] == publish_task("primary")]
        assert publishing, dag_id
        for task in publishing:
            prefix = task.task_id.removesuffix(publish_task("primary"))
            assert task.upstream_task_ids == {prefix + RELEASE}
            assert dag.get_task(prefix + RELEASE).upstream_task_ids == {prefix + JUDGE}
            assert dag.get_task(prefix + JUDGE).upstream_task_ids, "of something that the run has made"
            assert {dag.get_task(prefix + name).trigger_rule for name in (JUDGE, RELEASE)} == {"all_success"}
            assert [outlet.name for outlet in task.partial_kwargs["outlets"]] == [PUBLISHED]


def test_what_is_held_may_wait_over_a_weekend_and_hinders_nothing_after_it(dags):
    assert timedelta(days=4) < HELD_FOR
    assert HELD_FOR + timedelta(days=1) <= GRACE, "with a day to publish it in"
    for dag_id, runs_a_day in ((DAILY_DELTA, 1), (FULL_EXTRACT, 1 / 7), (REVOCATION_LISTS, 2)):
        assert dags[dag_id].dagrun_timeout > HELD_FOR
        assert dags[dag_id].max_active_runs > 1 + HELD_FOR.days * runs_a_day
    for dag in dags.values():
        for task in dag.tasks:
            if task.task_id.rpartition(".")[2] == RELEASE:
                assert task.response_timeout == HELD_FOR
                assert task.execution_timeout == DEFAULT_ARGS["execution_timeout"], "of what it does, not of the wait"


def test_every_dag_that_can_be_held_leads_to_what_the_runbook_says_of_it(dags):
    for dag_id in (DAILY_DELTA, FULL_EXTRACT, REVOCATION_LISTS):
        assert {"#held)", "#fail)"} <= set(re.findall(r"#[^)]+\)", dags[dag_id].doc_md)), dag_id


def test_every_gate_judges_and_leads_to_its_report(dags):
    for dag_id in dags.keys() - PUBLISH_NOTHING:
        serialised = DagSerialization.from_dict(DagSerialization.to_dict(dags[dag_id]))
        gates = [task for task in dags[dag_id].tasks if task.task_id.rpartition(".")[2] == JUDGE]
        assert gates, dag_id
        for task in gates:
            assert isinstance(task, GateOperator)
            assert type(task).judge is not GateOperator.judge
            assert serialised.get_task(task.task_id).operator_extra_link_dict.keys() == {"Gate report"}


def test_every_obligation_has_its_dag(dags, user_guide: UserGuide):
    assert set(user_guide.dags) == dags.keys() - PUBLISH_NOTHING


def test_dags_serialise_and_each_cut_off_is_a_logical_date(dags, user_guide):
    for dag_id, obligation, interval in (
        ("smki_daily_delta", user_guide.delta, timedelta(days=1)),
        ("smki_full_extract", user_guide.full, timedelta(days=7)),
    ):
        dag = DagSerialization.from_dict(DagSerialization.to_dict(dags[dag_id]))
        first, last = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 31, tzinfo=UTC)
        infos = list(dag.iter_dagrun_infos_between(first, last))
        assert len(infos) >= 4
        for info in infos:
            day = info.logical_date.date()
            assert info.logical_date == info.data_interval.start == info.data_interval.end == obligation.cut_off.at(day)
            assert obligation.cut_off.falls_on(day)
        assert all(later.logical_date == one.logical_date + interval for one, later in pairwise(infos))


def test_dag_files_only_wire():
    """No function, class, loop or comparison in dags/: logic belongs in include/smki or plugins/smki_airflow."""
    logic = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.Compare, ast.Try, ast.Lambda)
    for file in DAGS.glob("*.py"):
        found = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, logic)]
        assert not found, f"{file.name}:{found[0].lineno}"


def test_the_dag_processor_loads_nothing_heavy():
    program = (
        "import runpy, sys\n"
        f"for name in {[str(file) for file in DAGS.glob('*.py')]}: runpy.run_path(name)\n"
        f"runpy.run_path({str(PROJECT / 'plugins' / 'smki_airflow' / 'plugin.py')!r})\n"
        "heavy = ('numpy', 'pandas', 'great_expectations', 'pyarrow', 'lxml', 'asn1crypto', 'paramiko', 'fastapi')\n"
        "print([module for module in heavy if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_times_stand_in_the_user_guide_only():
    for file in [*DAGS.glob("*.py"), *Path(PROJECT / "plugins").rglob("*.py")]:
        strings = [n.value for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Constant)]
        crons = [s for s in strings if isinstance(s, str) and len(s.split()) == 5 and s.split()[2:4] == ["*", "*"]]
        assert not crons, f"{file.name} states {crons}"


PUBLIC = ("airflow.sdk.", "airflow.plugins_manager.", "airflow.triggers.base.", "airflow.providers.")


def test_one_module_alone_imports_what_airflow_does_not_promise():
    plugins = PROJECT / "plugins"
    internals = plugins / "smki_airflow" / "board" / "airflow.py"
    for file in {*DAGS.glob("*.py"), *plugins.rglob("*.py")} - {internals}:
        of_airflow = [f"{name}." for name in _imported(file) if name.split(".")[0] == "airflow"]
        assert not [name for name in of_airflow if not name.startswith(PUBLIC)], file
    assert any(name.startswith("airflow.models.") for name in _imported(internals)), "or it is not needed"


def _imported(file: Path) -> set[str]:
    """Dotted names of the modules that a file imports, and of what it takes from them; inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names
