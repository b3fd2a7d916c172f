"""An audit in shards: merged, they are the single run, bit for bit, and what is missing or doubled is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import write_project

from auditor.cli import main
from auditor.errors import InputError, StoreError
from auditor.run import load_run, merge_shards, run_audit, run_shard
from auditor.store import load_json, save_json

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A project, its three shards and its single run."""
    project = write_project(tmp_path_factory.mktemp("shards"))
    run_audit(project / "audit.yaml", output=project / "single", executor="serial")
    for number in (1, 2, 3):
        assert run_shard(project / "audit.yaml", (number, 3), output=project / f"s{number}", executor="serial") == []
    return project


def folders(project: Path) -> list[Path]:
    return [project / f"s{number}" for number in (1, 2, 3)]


def test_merged_shards_are_the_single_run_bit_for_bit(parts):
    single, _ = load_run(parts / "single")
    merged = merge_shards(folders(parts)[::-1], output=parts / "merged", executor="serial")
    assert merged.cells == single.cells
    assert merged.summaries == single.summaries
    assert merged.verdict == single.verdict
    names = [{path.name for path in (parts / run / "measurements").iterdir()} for run in ("single", "merged")]
    assert names[0] == names[1]
    first = next((parts / "s1" / "measurements").iterdir())
    assert (parts / "merged" / "measurements" / first.name).read_bytes() == first.read_bytes()  # not measured again
    assert load_json(parts / "merged" / "result.json")["provenance"]["command"].startswith("auditor merge")


def test_every_unit_is_in_one_shard(parts):
    units = [load_json(folder / "shard.json")["units"] for folder in folders(parts)]
    assert all(units)
    every = [key for keys in units for key in keys]
    assert len(every) == len(set(every)) == len(list((parts / "single" / "measurements").iterdir()))


def test_all_that_is_wrong_with_shards_is_told_at_once(parts, tmp_path):
    one, _, three = folders(parts)
    with pytest.raises(InputError) as told:
        merge_shards([one, three, three], output=tmp_path / "out")
    assert any("shard 2/3 is missing: `auditor run" in problem for problem in told.value.problems)
    assert any("shard 3/3 stands 2 times" in problem for problem in told.value.problems)
    assert not (tmp_path / "out").exists()


def damaged(folder: Path, kind: str) -> None:
    unit = next((folder / "measurements").iterdir())
    note = folder / "shard.json"
    if kind == "missing unit":
        unit.unlink()
    elif kind == "truncated unit":
        unit.write_bytes(unit.read_bytes()[:-40])
    elif kind == "flipped unit":
        content = bytearray(unit.read_bytes())
        content[len(content) // 3] ^= 0xFF
        unit.write_bytes(content)
    elif kind == "another cut":
        save_json(note, load_json(note) | {"of": 5})
    elif kind == "another version":
        record = load_json(note)
        save_json(note, record | {"plan": "x", "versions": record["versions"] | {"numpy": "1.0"}})
    elif kind == "another document":
        save_json(note, load_json(note) | {"plan": "x", "audit_sha256": "0"})
    elif kind == "no note":
        note.unlink()
    else:
        note.write_text('{"number": 1}')


TOLD = {
    "missing unit": "1 of its",
    "truncated unit": "1 of its",
    "flipped unit": "1 of its",
    "another cut": "was cut into",
    "another version": "measured with numpy",
    "another document": "the document, or what --set gave",
    "no note": "not the folder of a finished shard",
    "damaged note": "it is damaged",
}


@pytest.mark.parametrize("kind", TOLD)
def test_a_shard_that_cannot_be_used(parts, tmp_path, kind):
    two = Path(shutil.copytree(parts / "s2", tmp_path / "s2"))
    damaged(two, kind)
    one, _, three = folders(parts)
    done = CliRunner().invoke(main, ["merge", str(one), str(two), str(three), "-o", str(tmp_path / "out")])
    assert done.exit_code == 2, done.output
    assert TOLD[kind] in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_a_shard_goes_on_where_it_was(parts, tmp_path):
    two = Path(shutil.copytree(parts / "s2", tmp_path / "s2"))
    kept = sorted((two / "measurements").iterdir())
    kept[0].unlink()
    stamps = {path: path.stat().st_mtime_ns for path in kept[1:]}
    run = ["run", str(parts / "audit.yaml"), "--shard", "2/3", "-o", str(two), "--executor", "serial", "-q"]
    done = CliRunner().invoke(main, run)
    assert done.exit_code == 0, done.output
    assert kept[0].exists()
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/3/5"])
def test_a_shard_that_there_is_not(parts, shard):
    done = CliRunner().invoke(main, ["run", str(parts / "audit.yaml"), f"--shard={shard}"])
    assert done.exit_code == 2
    assert "expected I/N" in done.output


def test_a_whole_run_is_no_place_for_a_shard_nor_a_shard_for_a_whole_run(parts):
    with pytest.raises(StoreError, match="holds a whole run"):
        run_shard(parts / "audit.yaml", (1, 3), output=parts / "single", executor="serial")
    with pytest.raises(StoreError, match="it holds shard 1/3; name another folder for shard 2/3"):
        run_shard(parts / "audit.yaml", (2, 3), output=parts / "s1", executor="serial")
    with pytest.raises(InputError, match="this is a shard"):
        merge_shards(folders(parts), output=parts / "s1", executor="serial")


def test_a_merge_of_another_document_is_refused(parts, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text((parts / "audit.yaml").read_text().replace("seed: 3", "seed: 4"))
    with pytest.raises(InputError, match="not the document that the shards were measured with"):
        merge_shards(folders(parts), output=tmp_path / "out", audit=other, executor="serial")


def test_a_merge_of_other_data_is_refused(parts, tmp_path):
    """The document is the same, and lies where another model is."""
    place = Path(shutil.copytree(parts, tmp_path / "moved", ignore=shutil.ignore_patterns("s?", "single", "merged")))
    picture = next((place / "images").iterdir())
    picture.write_bytes(next(path for path in (place / "images").iterdir() if path != picture).read_bytes())
    with pytest.raises(InputError, match="not what the shards measured"):
        merge_shards(folders(parts), output=tmp_path / "out", audit=place / "audit.yaml", executor="serial")
    assert not (tmp_path / "out" / "result.json").exists()


def test_the_hint_for_a_missing_shard_has_its_values(parts, tmp_path):
    given = ("dataset.limit=4", "severities=[5]")
    run_shard(parts / "audit.yaml", (1, 2), output=tmp_path / "one", executor="serial", given=given)
    with pytest.raises(InputError) as told:
        merge_shards([tmp_path / "one"], output=tmp_path / "out")
    (problem,) = told.value.problems
    assert "--set dataset.limit=4 --set 'severities=[5]' --shard 2/2" in problem


def test_shards_of_two_audits_are_not_taken_for_doubles(parts, tmp_path):
    run_shard(parts / "audit.yaml", (1, 2), output=tmp_path / "other", executor="serial", given=("dataset.limit=4",))
    with pytest.raises(InputError) as told:
        merge_shards([*folders(parts), tmp_path / "other"], output=tmp_path / "out")
    (problem,) = told.value.problems
    assert "was cut into 3" in problem
