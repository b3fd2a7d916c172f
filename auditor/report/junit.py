"""JUnit XML: one test case for each value that a gate looks at, per failed cell and per error or warning, so that CI
shows an audit as it shows tests."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from auditor.report.outcome import WITHOUT_GATES, gate_text, met_text, notable
from auditor.values import AuditResult, CellResult, Finding, GateOutcome

__all__ = ["render_junit"]


def render_junit(result: AuditResult) -> str:
    """Render a judged result as JUnit XML: a case for each value that a gate looks at. A violated one is a failure, and
    so is a finding that counts (`fail_on`); what could not be judged, decided or measured is an error; findings that do
    not count are skipped, with their message, and so is the one case of an audit without gates.

    Source of the format: https://github.com/testmoapp/junitxml.
    """
    suite = ET.Element("testsuite", name=f"auditor: {result.name}")
    for gate in result.gates:
        _gate(suite, gate, lets_pass=result.plan.undecided is not None)
    if not result.gates:
        case = ET.SubElement(suite, "testcase", classname="gate", name="gates")
        only = "The audit sets no gates: only findings and lost cells count"
        message = WITHOUT_GATES if result.verdict == "not judged" else only
        ET.SubElement(case, "skipped", message=message)
    for cell in result.cells:
        if cell.status == "failed":
            _cell(suite, cell)
    for finding in notable(result):
        if finding.code != "run.failed":  # its cells are there
            _finding(suite, finding, "failure" if result.fails_on(finding) else "skipped")
    suite.set("tests", str(len(suite)))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _gate(suite: ET.Element, gate: GateOutcome, *, lets_pass: bool) -> None:
    """A case for each value that a gate met or could not judge; one alone where it met nothing."""
    named = f"gate.{_clean(str(gate.rule)).replace('.', '·')}"  # a dot would begin another package
    for met in gate.met:
        case = ET.SubElement(suite, "testcase", classname=named, name=_clean(met.where))
        if met.undecided:
            message = f"undecided: {met_text(gate.rule, met)}"
            ET.SubElement(case, "skipped" if lets_pass else "error", message=_clean(message))
        elif met.margin >= 0:
            ET.SubElement(case, "system-out").text = _clean(met_text(gate.rule, met))
        else:
            ET.SubElement(case, "failure", message=_clean(met_text(gate.rule, met)))
    for lost in gate.lost:
        case = ET.SubElement(suite, "testcase", classname=named, name=_clean(lost.where))
        ET.SubElement(case, "error", message=_clean(lost.reason.strip().splitlines()[-1])).text = _clean(lost.reason)
    if not gate.met and not gate.lost:
        case = ET.SubElement(suite, "testcase", classname=named, name="every one")
        ET.SubElement(case, "error", message=_clean(gate_text(gate))).text = _clean("\n".join(gate.messages))


def _cell(suite: ET.Element, cell: CellResult) -> None:
    case = ET.SubElement(suite, "testcase", classname="cell", name=_clean(str(cell.key)))
    error = (cell.error or "no reason was recorded").strip()
    ET.SubElement(case, "error", message=_clean(error.splitlines()[-1])).text = _clean(error)


def _finding(suite: ET.Element, finding: Finding, tag: str) -> None:
    where = ", ".join(f"{key} {value}" for key, value in finding.cell.items())
    name = f"{finding.code}: {where}" if where else finding.code
    case = ET.SubElement(suite, "testcase", classname=f"finding.{finding.check}", name=_clean(name))
    message = ET.SubElement(case, tag, message=_clean(f"{finding.level}: {finding.message}"))
    message.text = _clean(finding.remedy)


def _clean(text: str) -> str:
    """Drop what XML 1.0 cannot hold."""
    return "".join(character for character in text if character in "\t\n\r" or character >= " ")
