"""docs/calibration.md: it speaks of every case, hides none that misses, and its numbers come out again."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def page_script():
    path = ROOT / "docs" / "make_calibration_page.py"
    spec = importlib.util.spec_from_file_location("make_calibration_page", path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


CALIBRATION = page_script()


def rows_of_the_page():
    text = CALIBRATION.PAGE.read_text().split("## What the audit says")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {(row[0], row[1]): row for row in cells if row[0] != "Method"}


def share(cell):
    return float(cell.removesuffix("%")) / 100


def test_the_page_has_every_case_with_at_least_500_sweeps():
    rows = rows_of_the_page()
    assert set(rows) == {(case.method, case.model) for case in CALIBRATION.cases()}
    for row in rows.values():
        assert int(row[2].split()[0].replace(",", "")) >= 500 or "refused" in row[2], row


def test_a_method_outside_its_band_is_said_to_be():
    rows = rows_of_the_page()
    for case in CALIBRATION.cases():
        row = rows[case.method, case.model]
        low, high = CALIBRATION.COVERAGE
        kept = low <= share(row[3]) <= high
        if row[4]:
            kept &= CALIBRATION.FALSE_ALARMS[0] <= share(row[4]) <= CALIBRATION.FALSE_ALARMS[1]
        assert kept or row[5], row


@pytest.mark.slow
@pytest.mark.parametrize("at", range(0, len(CALIBRATION.cases()), 9))
def test_the_numbers_come_out_again(at):
    case = CALIBRATION.cases()[at]
    found = CALIBRATION.run(case, 500)
    row = rows_of_the_page()[case.method, case.model]
    # Another processor's arithmetic may move one sweep or another.
    assert found.coverage == pytest.approx(share(row[3]), abs=0.015)
