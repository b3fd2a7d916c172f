"""JUnit XML: one test case per gate and one per failed cell, so that CI shows an audit as it shows tests."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from auditor.values import Judgement

__all__ = ["render_junit"]


def render_junit(judgement: Judgement) -> str:
    """Render a judgement as JUnit XML; a violated gate is a failure, what could not be judged or measured an error.

    Source of the format: https://github.com/testmoapp/junitxml.
    """
    result = judgement.result
    failed_cells = [cell for cell in result.cells if cell.status == "failed"]
    suite = ET.Element("testsuite", name=f"auditor: {result.name}")
    counts = {"failures": 0, "errors": len(failed_cells)}
    for gate in judgement.gates:
        case = ET.SubElement(suite, "testcase", classname="gate", name=str(gate.rule))
        if gate.status == "passed":
            continue
        tag = "failure" if gate.status == "failed" else "error"
        counts[f"{tag}s"] += 1
        problem = ET.SubElement(case, tag, message=_clean(gate.findings[0].message))
        problem.text = _clean("\n".join(finding.message for finding in gate.findings))
    for cell in failed_cells:
        case = ET.SubElement(suite, "testcase", classname="cell", name=str(cell.key))
        ET.SubElement(case, "error", message=_clean((cell.error or "").strip().splitlines()[-1])).text = _clean(
            cell.error or ""
        )
    if len(suite) == 0:
        ET.SubElement(suite, "testcase", classname="audit", name="every cell was measured")
    suite.attrib |= {"tests": str(len(suite)), **{key: str(value) for key, value in counts.items()}}
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _clean(text: str) -> str:
    """Drop what XML 1.0 cannot hold."""
    return "".join(character for character in text if character in "\t\n\r" or character >= " ")
