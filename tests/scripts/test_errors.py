"""Bad input to the scripts: one line on stderr that names the key, value or path; never a traceback."""

import json
import re
import shutil
import subprocess
import sys

import pytest

DRIVER = """
import json, os, sys
import torch
import torch.utils.tensorboard, hydra.core.plugins
import pointsman.agents.sb3, pointsman.agents.ppo, pointsman.agents.dqn, pointsman.agents.offline, pointsman.scripts.baselines
import pointsman.evaluation.gate, pointsman.evaluation.many, pointsman.evaluation.ope.report, pointsman.evaluation.report
hydra.core.plugins.Plugins.instance()
from pointsman.scripts import collect, compare, evaluate, evaluate_offline, gate, learn_offline, train
answers = {}
for name, (script, *arguments) in json.load(sys.stdin).items():
    if (child := os.fork()) == 0:
        for stream, number in ("out", 1), ("err", 2):
            os.dup2(os.open(f"{name}.{stream}", os.O_WRONLY | os.O_CREAT), number)
        sys.argv = [script, *arguments]
        status = 0
        try:
            {"compare": compare, "evaluate": evaluate, "gate": gate, "train": train, "collect": collect,
             "evaluate_offline": evaluate_offline, "learn_offline": learn_offline}[script].main()
        except SystemExit as leaving:
            status = leaving.code or 0
        except BaseException:
            import traceback
            traceback.print_exc()
            status = 1
        sys.stderr.flush()
        os._exit(status)
    answers[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
json.dump(answers, sys.stdout)
"""
"""Imports once, and runs every case in a fork of its own: a start costs seconds."""

# name: script, arguments, what the line must name
CASES = {
    "negative_rate": ("train", ["env.arrival_rate=-1"], "arrival_rate .*-1"),
    "negative_lead_time": ("train", ["env=inventory/lost_sales", "env.lead_time=-1"], "lead_time .*-1"),
    "misspelt_env": ("train", ["env.arival_rate=2"], "arival_rate"),
    "misspelt_price": ("train", ["+env.prices.bounce=1"], "bounce"),
    "seed": ("train", ["seed=-1"], "seed .*-1"),
    "seed_large": ("train", ["seed=4294967296"], "seed .*4294967296"),
    "warmup": ("train", ["env.warmup_minutes=480"], "warmup_minutes must be less than the horizon, 480, got 480"),
    "threads": ("train", ["threads=0"], "threads .*0"),
    "run_dir": ("train", ["run_dir=/proc/none"], "/proc/none"),
    "search": ("train", ["search.rounds=0", "run_dir=new"], r"search\.rounds .*0"),
    "sb3_argument": ("train", ["agent=sb3_a2c", "+agent.arguments.gama=1", "baselines=false", "run_dir=sb3"], "arguments.*gama"),
    "run_exists": ("train", ["run_dir=whole"], "run_dir=whole .*resume=whole"),
    "resume_damaged": ("train", ["resume=checkpoint"], r"checkpoint/checkpoint\.pt"),
    "resume_changed": ("train", ["resume=whole", "seed=5", "hydra.job.chdir=false"], "leave out seed=5$"),
    "run_nowhere": ("evaluate", ["run=nowhere"], "run=nowhere: no such folder"),
    "no_runs_yet": ("evaluate", ["run=latest"], "run=latest: no run below logs/runs is finished yet"),
    "no_run_folder": ("evaluate", ["run=empty"], r"empty/config\.yaml is missing"),
    "config": ("evaluate", ["run=config"], r"config/config\.yaml is damaged"),
    "config_key": ("evaluate", ["run=key"], "arival_rate"),
    "policy": ("evaluate", ["run=policy"], r"policy/policy/policy\.json does not load"),
    "policy_missing": ("evaluate", ["run=unfinished"], "unfinished/policy"),
    "network": ("evaluate", ["run=network"], "network/policy"),
    "rule": ("evaluate", ["run=rule"], r"rule/rules/threshold/policy\.json"),
    "optimum": ("evaluate", ["run=optimum"], "optimum/optimum"),
    "episodes": ("evaluate", ["run=whole", "episodes=1"], "episodes must be an integer of at least 2, got 1"),
    "until": ("evaluate", ["run=whole", "episodes=2", "until=-1"], "until must be a positive share .*-1"),
    "evaluate_seed": ("evaluate", ["run=whole", "seed=-1"], "seed .*-1"),
    "stress": ("evaluate", ["run=whole", "stress=dispach"], "stress/dispach"),
    "stress_true": ("evaluate", ["run=whole", "stress=true"], "group override must be a string"),
    "stress_of_others": ("evaluate", ["run=whole", "stress=queueing"], "stress arrivals_x1.1: unknown key 'arrival_profile'"),
    "rule_form": ("evaluate", ["run=whole", "rule=nowhere"], "rule=nowhere must have the form package.module:function"),
    "rule_nowhere": ("evaluate", ["run=whole", "rule=nowhere.py:mine"], "rule=nowhere.py: no such file"),
    "rule_taken": ("evaluate", ["run=whole", "rule=mine.py:threshold"], "rule=mine.py:threshold: .* called threshold already"),
    "rule_twice": ("evaluate", ["run=whole", "rule=[mine.py:own,mine.py:own]"], "rule=mine.py:own: .* called own already"),
    "agent_name": ("train", ["agent.name=threshold"], "agent.name=threshold is that of a policy it is compared with"),
    "plugin_nowhere": ("train", ["plugins=[nowhere.py]"], "plugins=nowhere.py: no such file"),
    "gym_id": ("train", ["env=gym", "env.id=CartPol-v1"], "env.id=CartPol-v1 cannot be made"),
    "gym_average": ("train", ["env=gym", "agent=ppo", "baselines=false", "run_dir=gym"], "take agent.objective=discounted"),
    "gate_nowhere": ("gate", ["run=nowhere"], "run=nowhere: no such folder"),
    "limits": ("gate", ["run=whole", "limits=dispach"], "unknown limits 'dispach'.*dispatch"),
    "limits_nowhere": ("gate", ["run=whole", "limits=nowhere.yaml"], "limits: no file at nowhere.yaml"),
    "gate_episodes": ("gate", ["run=whole", "episodes=1"], "episodes must be"),
    "gate_seed": ("gate", ["run=whole", "seed=-1"], "seed .*-1"),
    "compare_seed": ("compare", ["run=[whole]", "seed=-1"], "seed .*-1"),
    "compare_nothing": ("compare", ["run=[]"], r"run=\[\] names no run"),
    "compare_nowhere": ("compare", ["run=[whole,nowhere]"], "run=nowhere: no such folder"),
    "compare_twice": ("compare", ["run=[whole,rule]"], "rule: there are two runs of ppo on dispatch/mini with seed 4"),
    "collect_seed": ("collect", ["policy=threshold", "seed=-1"], "seed .*-1"),
    "collect_epsilon": ("collect", ["policy=threshold", "epsilon=2"], "epsilon .*2"),
    "collect_policy": ("collect", ["policy=treshold"], "treshold'; did you mean threshold"),
    "collect_parameter": ("collect", ["policy=threshold", "parameters={treshold: 1}"], "treshold'; did you mean threshold"),
    "collect_parameters": ("collect", ["policy=threshold", "parameters=half"], "parameters must be numbers by name.*half"),
    "collect_output": ("collect", ["policy=threshold", "output=log.txt"], "output=log.txt must end in"),
    "offline_seed": ("evaluate_offline", ["log=nowhere.csv", "policy=whole", "seed=-1"], "seed .*-1"),
    "offline_log": ("evaluate_offline", ["log=nowhere.csv", "policy=whole"], "log: no file at nowhere.csv"),
    "offline_sidecar": ("evaluate_offline", ["log=key/config.yaml", "policy=whole"], "config.yaml.json: no such sidecar"),
    "learner_seed": ("learn_offline", ["log=nowhere.parquet", "seed=-1"], "seed .*-1"),
    "learner_log": ("learn_offline", ["log=nowhere.parquet"], "log: no file at nowhere.parquet"),
    "compare_pattern": ("compare", ["run=nothing*"], r"run=nothing\*: no finished run matches"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory, trained):
    """Damaged copies of a finished run, and what every case answers: status, stdout, stderr."""
    folder = tmp_path_factory.mktemp("errors")
    names = "checkpoint config key policy unfinished network rule optimum"
    for name in ["whole", *names.split()]:
        shutil.copytree(trained[1], folder / name)
    (folder / "empty").mkdir()
    (folder / "mine.py").write_text("own = threshold = lambda observation: 0\n")
    for path in ("checkpoint/checkpoint.pt", "network/policy/network.pt", "optimum/optimum/table.npz"):
        (folder / path).write_bytes((folder / path).read_bytes()[:500])
    (folder / "config" / "config.yaml").write_text("env: {id: [")
    text = (folder / "key" / "config.yaml").read_text()
    (folder / "key" / "config.yaml").write_text(text.replace("arrival_rate:", "arival_rate:"))
    (folder / "policy" / "policy" / "policy.json").write_text('{"class": "pointsman.agents.net')
    (folder / "unfinished" / "policy" / "policy.json").unlink()
    facts = json.loads((folder / "rule" / "rules" / "threshold" / "policy.json").read_text())
    facts["parameters"] = {"threshhold": 0.5}
    (folder / "rule" / "rules" / "threshold" / "policy.json").write_text(json.dumps(facts))
    cases = json.dumps({name: [script, *arguments] for name, (script, arguments, _) in CASES.items()})
    kept = {"cwd": folder, "capture_output": True, "text": True, "timeout": 200}
    done = subprocess.run([sys.executable, "-c", DRIVER], input=cases, check=True, **kept)
    read = {name: [(folder / f"{name}.{stream}").read_text() for stream in ("out", "err")] for name in CASES}
    return {name: (status, *read[name]) for name, status in json.loads(done.stdout).items()}


def assert_one_line(status, err, names):
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, err
    assert re.search(names, lines[0]), lines[0]
    assert len(lines[0]) < 500
    assert status not in (0, None)
    assert "Traceback" not in err


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line(answers, name):
    status, out, err = answers[name]
    assert_one_line(status, err, CASES[name][2])
    assert "Traceback" not in out
    assert "run: " not in out


@pytest.mark.parametrize(
    ("script", "argument", "names"),
    [
        ("train", "agent.totl_steps=5", r"agent\.totl_steps"),
        ("train", "env=dispatch/maxi", "dispatch/maxi"),
        ("train", "agent=pppo", "pppo.*sb3_ppo"),
        ("evaluate", "runn=x", "runn"),
    ],
)
def test_errors_of_composition_in_a_process_of_their_own(tmp_path, start, script, argument, names):
    """What Hydra itself refuses, through `python -m` as users start it; nothing is left behind."""
    done = start(tmp_path, script, argument)
    assert_one_line(done.returncode, done.stderr, names)
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []
