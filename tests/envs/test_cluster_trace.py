"""Traces in the Standard Workload Format: the log of KTH under rules whose figures are known, and files that cannot be read."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from data import DATA

from pointsman import envs
from pointsman.envs.cluster import swf
from pointsman.errors import PointsmanError
from pointsman.evaluation.rollout import rollout

KTH = DATA / "cluster_kth_sp2" / "KTH-SP2-1996-2.1-cln.swf.gz"
TRUTH = json.loads((Path(__file__).parents[1] / "truth" / "cluster.json").read_text())
JOB = "{number} {submit} 5 {run} {size} -1 -1 {asked} {time} -1 1 {user} -1 -1 -1 -1 -1 -1"
PLAIN = {"number": 1, "submit": 0, "run": 10, "size": 2, "asked": 2, "time": 20, "user": 3}


def line(**changes):
    return JOB.format(**(PLAIN | changes))


def problem(path=KTH, **overrides):
    return envs.build(envs.configure("cluster/kth", trace=str(path), trace_folder=None, **overrides))


@pytest.mark.data
@pytest.mark.parametrize(
    ("rule", "values", "name"),
    [
        ("easy", {}, "EASY backfilling, FCFS order, one reservation, by user estimates"),
        ("sjf", {"passing": 0}, "shortest job first by user estimates, no backfilling (the head blocks)"),
        ("fcfs", {}, "strict first come first served"),
    ],
)
def test_rules_reproduce_the_known_figures_of_the_kth_log(rule, values, name):
    """Within the 3 % that the truth allows, as who comes first of two at an instant differs between programs."""
    replayed = problem()
    found = rollout(envs.rules(replayed)[rule](replayed, **values), replayed, 1, 0, illegal="raise")
    ledger = envs.BatchEnv(replayed).ledger
    wait, slowdown = (replayed.kpis[kpi](ledger, found.ledger)[0] for kpi in ("mean_wait", "bounded_slowdown"))
    known = TRUTH["policy -> mean wait in seconds, mean bounded slowdown"][name]
    assert abs(wait / known[0] - 1) < 0.03
    assert abs(slowdown / known[1] - 1) < 0.03
    assert ledger.total(found.ledger, "done")[0] == 28_475


@pytest.mark.data
def test_the_log_is_read_whole():
    """28,476 jobs by its header, one of which is without processors; a mean wait of 15,296 s, a utilisation of 0.70."""
    trace = swf.read(KTH)
    assert len(trace.submit) + trace.left_out == 28_476
    assert trace.left_out == 1
    assert trace.processors == 100
    assert round(trace.wait.mean()) == 15_296
    span = (trace.submit + trace.wait + trace.run).max() - trace.submit[0]
    assert round((trace.run * trace.size).sum() / (100 * span), 2) == 0.70
    assert len(np.unique(trace.user)) == 214
    assert (trace.estimate >= trace.run).all()


@pytest.mark.data
def test_stretches_begin_anywhere_in_their_part_and_end_inside_it():
    week = 604_800.0
    held_out = problem(trace_part=[0.7, 1.0], stretches=True, horizon_time=week)
    env = envs.BatchEnv(held_out, 200, autoreset=False)
    env.reset(seed=0)
    p = held_out.params
    begin = p.trace[env.state.first, 0]
    assert env.state.first.min() >= round(0.7 * 28_475)
    assert (begin + week <= p.trace[-1, 0]).all()
    assert len(np.unique(env.state.first)) > 150
    found = rollout(envs.rules(held_out)["easy"](held_out), held_out, 20, 0)
    assert (found.elapsed == week).all()
    begin, arrived = p.trace[env.state.first[:20], 0], p.trace[:, 0]
    expected = [((arrived >= b) & (arrived <= b + week)).sum() - 1 for b in begin]  # the first is there from the start
    first = [int(np.searchsorted(arrived, b)) for b in begin]
    expected = np.array(expected) - (env.state.first[:20] - first)
    assert found.ledger[:, 0].tolist() == expected.tolist()


def test_a_small_trace_is_read_field_by_field(tmp_path):
    """Requested before allocated processors; estimates never below run times; -1 is not known; comments anywhere."""
    jobs = [line(), line(submit=4, run=30, asked=-1, size=7), line(submit=4, run=-1), "; a note", line(submit=9, user=-1, run=0)]
    path = tmp_path / "small.swf"
    path.write_text("\n".join(["; MaxProcs: 8 ", ";MaxRecords: 4", "", *jobs]) + "\n")
    trace = swf.read(path)
    assert trace.processors == 8
    assert trace.submit.tolist() == [0, 4, 9]
    assert trace.run.tolist() == [10, 30, 0]
    assert trace.estimate.tolist() == [20, 30, 20]
    assert trace.size.tolist() == [2, 7, 2]
    assert trace.user.tolist() == [1, 1, 0]
    assert trace.left_out == 1
    (tmp_path / "small.swf.gz").write_bytes(gzip.compress(path.read_bytes()))
    packed = swf.read(tmp_path / "small.swf.gz")
    assert packed.submit.tolist() == trace.submit.tolist()


BAD = {
    "negative duration": ([line(), line(submit=3, run=-7)], r"line 3: run time is negative: -7"),
    "negative estimate": ([line(time=-60)], r"line 2: requested time is negative: -60"),
    "negative submission": ([line(submit=-1)], r"line 2: submit time is negative: -1"),
    "unsorted": ([line(submit=9), "", line(submit=8)], r"line 4: not in order of time: submitted at 8, after line 2 at 9"),
    "too large": ([line(), line(asked=9)], r"line 3: the job is larger than the cluster: 9 of 8 processors"),
    "truncated line": ([line(), line()[:20]], r"line 3: \d+ fields instead of 18: is the file truncated"),
    "no number": ([line(run="ten")], r"line 2: run time must be a number, got 'ten'"),
    "not finite": ([line(submit="nan")], r"line 2: submit time must be a number, got 'nan'"),
    "half a processor": ([line(asked=1.5)], r"line 2: processors must be a whole number, got 1.5"),
    "too few": (["; MaxRecords: 3", line(), line()], r"line 4: the header promises 3 jobs .* ends here with 2: it is truncated"),
    "no jobs": ([], r"no jobs, only 1 lines of header"),
    "nothing known": ([line(run=-1)], r"none of its 1 jobs has a run time"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_line_that_names_file_and_line(case, tmp_path):
    path = tmp_path / "bad.swf"
    path.write_text("\n".join(["; MaxProcs: 8", *BAD[case][0]]) + "\n")
    with pytest.raises(PointsmanError, match=rf"trace .*bad\.swf.*{BAD[case][1]}") as caught:
        problem(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_archive_names_the_line(tmp_path):
    whole = gzip.compress("\n".join(["; MaxProcs: 8", *[line(submit=n, number=n) for n in range(5000)]]).encode())
    (tmp_path / "cut.swf.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PointsmanError, match=r"cut\.swf\.gz, line \d{3,4}: the compressed file breaks off"):
        problem(tmp_path / "cut.swf.gz")
    (tmp_path / "no.swf.gz").write_bytes(b"nothing of the kind")
    with pytest.raises(PointsmanError, match=r"no\.swf\.gz, line 1: the compressed file breaks off or is damaged"):
        problem(tmp_path / "no.swf.gz")
    (tmp_path / "no.swf").write_bytes(b"\xff\xfe\x00\x81" * 50)
    with pytest.raises(PointsmanError, match=r"no\.swf, line 1: this is not text"):
        problem(tmp_path / "no.swf")


def test_a_missing_trace_says_which_where_and_how_to_get_it(tmp_path):
    with pytest.raises(PointsmanError) as caught:
        envs.build(envs.configure("cluster/kth", trace_folder=str(tmp_path)))
    for part in ("no file KTH-SP2-1996-2.1-cln.swf.gz", str(tmp_path), "parallel/workload/l_kth_sp2", "env.trace_folder="):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("preset", "overrides", "named"),
    [
        ("deeprm", {"arrival_rate": 0.0}, "arrival_rate must be a number above 0"),
        ("deeprm", {"duration_factor": 1.5}, "duration_factor must be a whole number with time_step"),
        ("deeprm", {"arrival_rate": None}, "arrival_rate must be given"),
        ("deeprm", {"horizon_time": None}, "horizon_time must be given"),
        ("deeprm", {"window": 0}, "window must be at least 1"),
        ("deeprm", {"stretches": True}, "stretches must be false without a trace"),
        ("deeprm", {"classes.short.dominant": [5, 11]}, r"classes.short.dominant must be at most the 10 units"),
        ("deeprm", {"classes.short.duration": [3, 1]}, r"classes.short.duration must be a range"),
        ("deeprm", {"classes.short.duration": [0.5, 1]}, r"classes.short.duration\[0\] must be a number of at least 1"),
        ("deeprm", {"classes.short.demand": {"disk": [1, 1]}}, "unknown resource in classes.short.demand: 'disk'"),
        ("deeprm", {"classes.short.share": -1.0}, "classes.short.share must be"),
        ("deeprm", {"prices": {"waitin_time": 1.0}}, "waitin_time"),
        ("gpu", {"classes.batch.demand": {"cpu": [0, 4], "memory": [0, 4]}}, "at least 1 unit"),
        ("gpu", {"trace": "x.swf"}, "arrival_rate must be left out beside a trace"),
    ],
)
def test_bad_configuration_names_the_key(preset, overrides, named):
    with pytest.raises(PointsmanError, match=named) as caught:
        envs.BatchEnv(envs.build(envs.configure(f"cluster/{preset}", **overrides)))
    assert "\n" not in str(caught.value)


def test_jobs_that_are_drawn_need_a_cluster():
    with pytest.raises(PointsmanError, match="resources must be given where jobs are drawn"):
        envs.build(envs.complete({"id": "cluster/own", "arrival_rate": 1.0, "classes": {"job": {}}}))


def test_a_trace_without_a_size_of_its_cluster_asks_for_one(tmp_path):
    path = tmp_path / "a.swf"
    path.write_text(line() + "\n" + line(submit=5) + "\n")
    with pytest.raises(PointsmanError, match="resources must be given: the trace's header does not say"):
        problem(path)
    assert problem(path, resources={"cores": 4}).params.capacity.tolist() == [4]
    with pytest.raises(PointsmanError, match="line 1: the job is larger than the cluster: 2 of 1"):
        problem(path, resources={"cores": 1})
    with pytest.raises(PointsmanError, match="trace_part must be shares"):
        problem(path, resources={"cores": 4}, trace_part=[0.5, 0.5])
    with pytest.raises(PointsmanError, match="horizon_time must be shorter than that part"):
        problem(path, resources={"cores": 4}, stretches=True, horizon_time=99.0)
