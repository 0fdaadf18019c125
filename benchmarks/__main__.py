"""`python -m benchmarks NAME`: run one benchmark on every broker there is and keep what it measured."""

import argparse
import os
from datetime import date

from benchmarks import dispatch
from benchmarks.dispatch import Plan
from benchmarks.machine import describe
from benchmarks.results import keep
from brightrun.local.settings import APACHE, EMBEDDED

BROKERS = (EMBEDDED, APACHE) if "KAFKA_HOME" in os.environ else (EMBEDDED,)


def main() -> None:
    """Run as this process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("name", choices=["dispatch"])
    parser.add_argument("--broker", choices=[EMBEDDED, APACHE], help="only this one; apache needs KAFKA_HOME")
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--jobs", type=int, default=Plan.jobs, help="spaced jobs in a round")
    parser.add_argument("--burst", type=int, default=Plan.burst, help="jobs at once, in a round")
    asked = parser.parse_args()
    plan = Plan(asked.rounds, asked.jobs, asked.burst)
    for broker in (asked.broker,) if asked.broker else BROKERS:
        before = os.getloadavg()[0]
        measured = dispatch.run(broker, plan)
        about = {"date": date.today().isoformat(), "broker": broker, "plan": plan, "machine": describe(before)}
        print(f"kept in {keep(f'{asked.name}-{broker}', about | measured)}\n")


if __name__ == "__main__":
    main()
