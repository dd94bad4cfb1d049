"""Looks for ways out of a sandbox with a public enumerator (cepheus-engine).

    enumerate.py SHELL...

SHELL is a program and its first arguments that run the command that follows in
the sandbox. The enumerator's script looks around in there; its engine compares
what it saw with the escapes that it knows; and its verifier tries in there, one by
one, whether those work. Printed is a line of JSON: the escapes that fit, and those
that were confirmed.
"""

import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile

import cepheus
from cepheus.engine.analyzer import analyze
from cepheus.engine.confirmation import apply_confirmation
from cepheus.engine.verifier import VerifyOutcome, verify_analysis
from cepheus.models.posture import ContainerPosture


def main() -> None:
    shell = sys.argv[1:]
    script = pathlib.Path(cepheus.__file__).parent / "enumerator" / "cepheus-enum.sh"
    with script.open("rb") as look:
        ran = subprocess.run([*shell, "sh"], stdin=look, capture_output=True, timeout=120)
    if ran.returncode != 0:
        sys.exit(f"the enumerator ended with {ran.returncode}: {ran.stderr.decode()}")
    posture = ContainerPosture.model_validate(json.loads(ran.stdout))
    result = analyze(posture)
    with tempfile.TemporaryDirectory() as folder:
        # The verifier says `RUNTIME exec -- ID sh -c COMMAND`.
        runtime = pathlib.Path(folder) / "runtime"
        words = " ".join(f"'{word}'" for word in shell)
        runtime.write_text(f'#!/bin/sh\nshift 5\nexec {words} "$1"\n')
        runtime.chmod(runtime.stat().st_mode | stat.S_IXUSR)
        report = verify_analysis(result, "sandbox", runtime=os.fspath(runtime), timeout=20, parallel=1)
    apply_confirmation(result, report)
    of = {outcome: [] for outcome in VerifyOutcome}
    for checked in report.results:
        of[checked.outcome].append(checked.technique_id)
    json.dump(
        {
            "checked": result.total_techniques_checked,
            "hostname": posture.hostname,
            "capabilities": posture.capabilities.effective,
            "fits": sorted(checked.technique_id for checked in report.results),
            "confirmed": sorted(of[VerifyOutcome.CONFIRMED]),
            "refuted": sorted(of[VerifyOutcome.NOT_CONFIRMED]),
            "unverifiable": sorted(of[VerifyOutcome.NO_VERIFIER]),
            "errors": sorted(of[VerifyOutcome.ERROR]),
        },
        sys.stdout,
    )
    print()


main()
