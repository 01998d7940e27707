"""``python3 dev.py bench faults``: the campaign's report as Markdown, and as JSON in a file."""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.faults.campaign import KINDS, Campaign
from tests.benchmarks.faults.verdict import PROMISES, Verdict
from tests.benchmarks.report import machine, table


def report(campaign: Campaign, verdict: Verdict) -> dict[str, Any]:
    """The figures: counts of broken promises, and seconds to serve again by kind of fault."""
    kinds = {}
    for kind in KINDS:
        of_kind = [fault for fault in campaign.faults if fault.kind == kind]
        times = [fault.again for fault in of_kind if fault.again is not None]
        kinds[kind] = {
            "faults": len(of_kind),
            "measured": len(times),
            "median": statistics.median(times) if times else None,
            "worst": max(times, default=None),
        }
    return {
        "seed": campaign.seed,
        "faults": len(campaign.faults),
        "broken": {promise: verdict.broken[promise] for promise in PROMISES},
        "never_again": campaign.never,
        "examples": verdict.examples,
        "acknowledged": verdict.acknowledged,
        "early": verdict.early,
        "keys": verdict.keys,
        "answers": dict(sorted(verdict.answers.items())),
        "kinds": kinds,
        "times": [dataclasses.asdict(fault) for fault in campaign.faults],
    }


def markdown(found: dict[str, Any]) -> str:
    counts = [[f"calls {text}", str(found["broken"][name])] for name, text in PROMISES.items()]
    counts.append(
        ["faults after which nothing served for a minute", str(len(found["never_again"]))]
    )
    answers = ", ".join(f"{n} x {kind}" for kind, n in found["answers"].items())
    counts += [["runs that were acknowledged", str(found["acknowledged"])],
               ["Idempotency-Keys", str(found["keys"])],
               ["late only for a server whose event loop did not run", str(found["early"])],
               ["answers", answers]]  # fmt: skip
    rows = [
        [kind, str(one["faults"]), _seconds(one["median"]), _seconds(one["worst"])]
        for kind, one in found["kinds"].items()
    ]
    text = f"### {found['faults']} faults, seed {found['seed']}\n\n{table(['', ''], counts)}\n\n"
    text += table(["fault", "times", "served again, median", "worst"], rows) + "\n"
    text += (
        "\nSeconds from the fault to the first answer of a call sent after it; from SIGCONT, and "
        "from when there is room again, where a fault lasts. About a seventh of the faults has no "
        "figure: the next one came before.\n"
    )
    for name, lines in found["examples"].items():
        text += f"\n{PROMISES[name]}:\n\n" + "".join(f"- {line}\n" for line in lines)
    return text + "".join(f"\nnever again: {line}\n" for line in found["never_again"])


def kept(found: dict[str, Any]) -> bool:
    """Whether no promise was broken."""
    return not any(found["broken"].values()) and not found["never_again"]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--folder", type=Path, help="new folder for stores, logs and journals")
    given = parser.parse_args(arguments)
    sys.stdout.write(f"## Faults\n\n{machine()}\nSeed {given.seed}.\n\n")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as temporary:
        if given.folder is not None:
            given.folder.mkdir(parents=True)
        campaign = Campaign(given.folder or Path(temporary), given.seed)
        verdict = campaign.run(given.faults, lambda line: sys.stderr.write(line + "\n"))
    found = report(campaign, verdict)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1))
    sys.stdout.write(markdown(found))
    if not kept(found):
        sys.exit(1)


if __name__ == "__main__":
    main()
