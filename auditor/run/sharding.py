"""An audit in shards that need no engine: each measures its share of the units into a folder of its own; merged, they
are the single run."""

from __future__ import annotations

import os
import shlex
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from auditor.config import parse_shard, text_of
from auditor.errors import InputError, StoreError
from auditor.plan import share_of
from auditor.provenance import processor, sha256_of
from auditor.run.composing import run_audit
from auditor.run.forecast import INFERENCES, begin, inferences
from auditor.run.progress import Progress, SilentProgress
from auditor.run.session import open_session
from auditor.run.stages.making import make_asked, make_remedies
from auditor.run.stages.measuring import measure_units
from auditor.run.stages.planning import planned
from auditor.store import has_unit, load_json, locked, save_json, save_text
from auditor.values import AuditResult, ShardRecord

__all__ = ["merge_shards", "run_shard"]

_NOTE = "shard.json"


def run_shard(
    audit: Path,
    shard: tuple[int, int],
    *,
    output: Path,
    jobs: int | None = None,
    executor: str = "processes",
    fresh: bool = False,
    progress: Progress | None = None,
    given: Sequence[str] = (),
) -> list[str]:
    """Measure shard number `shard[0]` of `shard[1]` of an audit into the folder `output`; return why units could not be
    measured. An interrupted shard continues in the same folder.

    Raises:
        InputError: with every problem of the document and of all that it names.
        StoreError: the folder cannot be written, or is that of another shard or run.
    """
    number, of = shard
    told = progress or SilentProgress()
    if (output / "result.json").exists():
        raise StoreError(f"{output}: it holds a whole run; name another folder for a shard with --output")
    if (output / _NOTE).exists():
        known = _note(output)
        if isinstance(known, ShardRecord) and (known.number, known.of) != shard:
            raise StoreError(
                f"{output}: it holds shard {known.number}/{known.of}; name another folder for shard {number}/{of} with "
                "--output"
            )
    with open_session(audit, output, jobs=jobs, executor=executor, fresh=fresh, progress=told, given=given) as session:
        if session.config.decide is not None:
            told.say("a shard measures its whole share: `decide` is for runs in one piece, and does nothing here")
        state = make_remedies(session, make_asked(session, planned(session)))
        plan = state.plan
        mine = share_of(plan, number, of)
        todo = [unit for unit in mine if fresh or not has_unit(output, unit.resume_key)]
        share = len(todo) / len(plan.units)
        begin(session, state, "measuring", of=sum(map(inferences, todo)), what=INFERENCES, share=share)
        failures = measure_units(session, plan, mine, done=told.done)
        record = ShardRecord(
            number=number,
            of=of,
            plan=plan.fingerprint,
            units=tuple(unit.resume_key for unit in mine),
            audit=str(audit.resolve()),
            audit_sha256=sha256_of(audit),
            given=tuple(given),
            versions=dict(plan.subjects.versions),
            processor=processor(),
        )
        save_text(output / "audit.yaml", text_of(audit, given))
        save_json(output / _NOTE, asdict(record))
    lost = [unit.scenario_key for unit in mine if not has_unit(output, unit.resume_key)]
    return list(dict.fromkeys([*failures.values(), *(f"a worker was lost on {scenario}" for scenario in lost)]))


def merge_shards(
    shards: Sequence[Path],
    *,
    output: Path,
    audit: Path | None = None,
    jobs: int | None = None,
    executor: str = "processes",
    progress: Progress | None = None,
    command: str | None = None,
) -> AuditResult:
    """Put shards together in the run folder `output` and go on from there as a single run does: nothing that they
    measured is measured again. `audit` is the document, where it is not where the shards found it.

    Raises:
        InputError: shards are missing, stand twice, are not complete, or are not of one audit.
        StoreError: the folder cannot be written.
    """
    told = progress or SilentProgress()
    notes = [(folder, _note(folder)) for folder in shards]
    problems = [note for _, note in notes if isinstance(note, str)]
    known = [(folder, note) for folder, note in notes if isinstance(note, ShardRecord)]
    if not problems:
        problems = _problems(known)
    if output.resolve() in {folder.resolve() for folder in shards}:
        problems.append(f"{output}: this is a shard; name another folder for the whole run with --output")
    if problems:
        raise InputError(problems)
    first = known[0][1]
    document = audit or Path(first.audit)
    if not document.is_file():
        raise InputError(f"{document}: the audit's document is not there; say where it is with --audit")
    if sha256_of(document) != first.audit_sha256:
        raise InputError(f"{document}: it is not the document that the shards were measured with, or was changed since")
    if len({note.processor for _, note in known}) > 1:
        told.say("the shards were measured on different processors: their bits may differ from those of a single run")
    with locked(output):
        for folder, _ in known:
            _link(folder, output)
    return run_audit(
        document,
        output=output,
        jobs=jobs,
        executor=executor,
        progress=told,
        command=command or f"auditor merge {' '.join(map(str, shards))} --output {output}",
        given=first.given,
        expected=first.plan,
    )


def _note(folder: Path) -> ShardRecord | str:
    """What a shard is, or what is wrong with it."""
    try:
        found = parse_shard(load_json(folder / _NOTE))
    except StoreError as error:
        return f"{folder}: it is not the folder of a finished shard ({error}); give what `auditor run --shard` wrote"
    if found is None:
        return f"{folder / _NOTE}: it is damaged; run the shard again with --fresh"
    return found


def _problems(shards: Sequence[tuple[Path, ShardRecord]]) -> list[str]:
    """Why these are not all shards of one audit, each once and complete."""
    problems = []
    first_folder, first = shards[0]
    for folder, shard in shards:
        name = f"{folder}: shard {shard.number}/{shard.of}"
        if shard.of != first.of:
            problems.append(f"{name}: the audit was cut into {first.of} in {first_folder}; all must be of one cut")
        elif (shard.plan, shard.audit_sha256, shard.given) != (first.plan, first.audit_sha256, first.given):
            problems.append(f"{name}: {_difference(shard, first, first_folder)}")
        lost = [key for key in shard.units if not has_unit(folder, key, whole=True)]
        if lost:
            problems.append(
                f"{name}: {len(lost)} of its {len(shard.units)} units are missing, damaged or not complete; run it "
                f"again: `{_command(shard)} --shard {shard.number}/{shard.of} --output {shlex.quote(str(folder))}`"
            )
    counts = Counter(shard.number for _, shard in shards if (shard.of, shard.plan) == (first.of, first.plan))
    for number in range(1, first.of + 1):
        if counts[number] == 0:
            again = f"{_command(first)} --shard {number}/{first.of}"
            problems.append(f"shard {number}/{first.of} is missing: `{again}`")
        if counts[number] > 1:
            where = ", ".join(
                str(folder) for folder, shard in shards if shard.number == number and shard.of == first.of
            )
            problems.append(f"shard {number}/{first.of} stands {counts[number]} times, in {where}; give it once")
    return problems


def _command(shard: ShardRecord) -> str:
    """The command that measures shards of the same audit."""
    return shlex.join(["auditor", "run", shard.audit, *(word for value in shard.given for word in ("--set", value))])


def _difference(shard: ShardRecord, first: ShardRecord, first_folder: Path) -> str:
    """Why two shards are not of one audit."""
    here, there = shard.versions, first.versions
    other = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    if other:
        mine, theirs = (", ".join(f"{name} {of.get(name, 'absent')}" for name in other) for of in (here, there))
        return f"measured with {mine}, {first_folder} with {theirs}; measure it again with the same versions"
    if shard.audit_sha256 != first.audit_sha256 or shard.given != first.given:
        return f"the document, or what --set gave, is another than in {first_folder}; measure it again"
    return f"models, images or scenarios are others than in {first_folder}; measure it again"


def _link(shard: Path, output: Path) -> None:
    """Bring what a shard measured and made into the run folder, by links where that is possible."""
    try:
        for source in (path for kind in ("measurements", "models") for path in sorted((shard / kind).glob("[!.]*"))):
            target = output / source.parent.name / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{target.name}.{os.getpid()}.tmp")
            part.unlink(missing_ok=True)
            try:
                os.link(source, part)
            except OSError:  # on another file system
                shutil.copyfile(source, part)
            part.replace(target)
    except OSError as error:
        raise StoreError(f"{output}: cannot be written ({error.strerror or error})") from error
