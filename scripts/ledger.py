#!/usr/bin/env python3
"""Merges results of a conformance run into the ledger: name, passed or failed, seconds, commit, first line of the reason.

    ledger.py RESULTS LEDGER COMMIT

RESULTS has rows `name, passed|failed, seconds, reason`. The README's count is brought up to date as well.
"""
import pathlib
import re
import sys

results, ledger, commit = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
rows = {}
if ledger.exists():
    for line in ledger.read_text().splitlines()[1:]:
        fields = line.split("\t")
        rows[fields[0]] = fields
for line in results.read_text().splitlines():
    name, outcome, seconds, reason = (line.split("\t") + [""] * 4)[:4]
    if "[Conformance]" in name:
        rows[name] = [name, outcome, f"{float(seconds or 0):.1f}", commit, reason.strip()[:200]]
ledger.parent.mkdir(exist_ok=True)
text = "\n".join("\t".join(row) for _, row in sorted(rows.items()))
ledger.write_text("test\tresult\tseconds\tcommit\treason\n" + text + "\n")
passed = sum(row[1] == "passed" for row in rows.values())
count = f"{passed} of 462 conformance tests passed when last run, {len(rows) - passed} failed, {462 - len(rows)} not run"
readme = ledger.parent.parent / "README.md"
if readme.exists():
    marked = re.sub(r"(<!-- conformance -->).*?(<!-- /conformance -->)", rf"\g<1>{count}\g<2>", readme.read_text(), flags=re.S)
    readme.write_text(marked)
print(count)
