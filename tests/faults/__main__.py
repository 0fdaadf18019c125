"""`python -m tests.faults`: break a platform for a time, and audit what it has recorded."""

import argparse
import secrets
import sys

from brightrun.local.settings import APACHE, EMBEDDED
from tests import watchdog
from tests.faults.rehearsal import rehearsal

SETTLE_SECONDS = 300.0
PAUSE = (2.0, 12.0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800, help="how long faults happen")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31), help="of the schedule")
    parser.add_argument("--broker", choices=[EMBEDDED, APACHE], default=EMBEDDED, help="apache needs KAFKA_HOME")
    arguments = parser.parse_args()
    watchdog.watch()
    print(f"seed {arguments.seed}, {arguments.seconds:.0f} s on the {arguments.broker} broker", flush=True)
    with rehearsal(arguments.seed, arguments.broker) as running:
        with running.submitting(pause=2.0):
            running.inject(arguments.seconds, lambda line: print(line, flush=True), PAUSE)
        print(f"{running.faults} faults, {len(running.accepted)} jobs accepted; waiting for quiet", flush=True)
        _, found = running.settle(SETTLE_SECONDS)
    for breach in found:
        print(f"BREACH {breach}")
    print(f"{len(found)} breaches of seed {arguments.seed}" if found else "the auditor finds no breach")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
