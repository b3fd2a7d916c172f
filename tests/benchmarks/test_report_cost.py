"""Judging and showing a result of 500 cells, from disk: the goal is 5 s. And what each scenario costs an image."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
from conftest import write_project

from auditor.corruptions.corrupt import corrupt
from auditor.corruptions.packs import built_in_packs, load_scenarios
from auditor.demo.scenes import render_scene
from auditor.run import run_audit


def with_many_cells(folder: Path, cells: int) -> int:
    """A result of two levels with scenarios repeated under other names, until it has so many cells."""
    project = write_project(folder / "project")
    text = (project / "audit.yaml").read_text().replace("[1, 5]", "[1, 2, 3, 4, 5]")
    text = text.replace("labels.txt}", "labels.txt, quantize: {levels: [float16]}}")
    (project / "audit.yaml").write_text(text)
    run_audit(project / "audit.yaml", output=folder / "run")
    document = json.loads((folder / "run" / "result.json").read_text())
    scenarios = [cell for cell in document["cells"] if cell["scenario"] != "clean" and cell["input"] == "declared"]
    plan = {item["key"]: item for item in document["plan"]["scenarios"]}
    turn = 0
    while len(document["cells"]) < cells:
        turn += 1
        for cell in scenarios[: cells - len(document["cells"])]:
            document["cells"].append({**copy.deepcopy(cell), "scenario": f"{cell['scenario']}_{turn}"})
        for key, item in plan.items():
            document["plan"]["scenarios"].append({**item, "key": f"{key}_{turn}"})
    (folder / "run" / "result.json").write_text(json.dumps(document))
    return len(document["cells"])


def test_judge_and_report_of_500_cells(benchmark, tmp_path):
    cells = with_many_cells(tmp_path, 500)

    def spent(command: str) -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "auditor", command, str(tmp_path / "run")], capture_output=True)
        return time.perf_counter() - begin

    judge = benchmark.pedantic(lambda: spent("judge"), rounds=2)
    report = spent("report")
    print(f"\n{cells} cells from disk: judge with report {judge:.2f} s, report alone {report:.2f} s; goal 5 s")


def test_milliseconds_of_each_scenario(benchmark):
    """At 640 × 480 and severity 5, the least of five, in one table."""
    image = cv2.resize(render_scene(3)[0], (640, 480), interpolation=cv2.INTER_CUBIC)
    lines = []
    for path in built_in_packs().values():
        for spec in load_scenarios(path):
            times = []
            for turn in range(5):
                begin = time.perf_counter()
                corrupt(image, spec, severity=5, seed=turn)
                times.append(1e3 * (time.perf_counter() - begin))
            lines.append((min(times), spec.key))
    benchmark.pedantic(lambda: None, rounds=1)
    print()
    for milliseconds, key in sorted(lines, reverse=True):
        print(f"{key:<32} {milliseconds:7.1f} ms{'   above 60 ms' if milliseconds > 60 else ''}")
