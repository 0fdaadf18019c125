"""`python -m benchmarks NAME`: run one benchmark and keep what it measured."""

import argparse
import os
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Any

from benchmarks import chart, dispatch, gateway, scale, start, train, validate
from benchmarks.machine import describe
from benchmarks.results import keep
from brightrun.local.settings import APACHE, EMBEDDED
from tests import watchdog

BROKERS = (EMBEDDED, APACHE) if "KAFKA_HOME" in os.environ else (EMBEDDED,)
UNLIMITED = {f"BRIGHTRUN_RATE_LIMIT_{kind}": "0" for kind in ("READS", "CHANGES", "ANONYMOUS")}
"""One user asks for more here than the gateway's defaults allow."""


def main() -> None:
    """Run as this process."""
    asked = _arguments()
    watchdog.watch()
    os.environ |= UNLIMITED
    match asked.name:
        case "dispatch":
            plan = dispatch.Plan(asked.rounds, asked.jobs, asked.burst, asked.backlog)
            for broker in (asked.broker,) if asked.broker else BROKERS:
                _keep(f"dispatch-{broker}", {"broker": broker, "plan": plan}, partial(dispatch.run, broker, plan))
        case "gateway":
            seconds = gateway.Plan(asked.rounds, asked.seconds)
            _keep("gateway", {"broker": BROKERS[-1], "plan": seconds}, partial(gateway.run, BROKERS[-1], seconds))
        case "chart":
            drawn = chart.Plan(asked.rounds, asked.points, asked.requests)
            _keep("chart", {"plan": drawn}, partial(chart.run, EMBEDDED, drawn))
        case "scale":
            crowd = scale.Plan(asked.jobs, asked.seconds, asked.speed)
            _keep("scale", {"broker": BROKERS[-1], "plan": crowd}, partial(scale.run, BROKERS[-1], crowd))
        case "start":
            starts = start.Plan(asked.rounds)
            _keep("start", {"broker": EMBEDDED, "plan": starts}, partial(start.run, starts))
        case "train":
            work = train.Plan(asked.rounds, asked.model, asked.steps, asked.batch_size)
            _keep("train", {"plan": work}, partial(train.run, work))
        case "validate":
            checked = validate.Plan(asked.rounds, asked.megabytes)
            _keep("validate", {"plan": checked}, partial(validate.run, checked))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    names = parser.add_subparsers(dest="name", required=True)

    one = names.add_parser("dispatch", help="how long a committed job takes to reach its cluster")
    one.add_argument("--broker", choices=[EMBEDDED, APACHE], help="only this one; apache needs KAFKA_HOME")
    one.add_argument("--rounds", type=int, default=dispatch.Plan.rounds)
    one.add_argument("--jobs", type=int, default=dispatch.Plan.jobs, help="spaced jobs in a round")
    one.add_argument("--burst", type=int, default=dispatch.Plan.burst, help="jobs of eight clients, in a round")
    one.add_argument("--backlog", type=int, default=dispatch.Plan.backlog, help="jobs in one commit, in a round")

    one = names.add_parser("gateway", help="submissions and pages of jobs a second")
    one.add_argument("--rounds", type=int, default=gateway.Plan.rounds)
    one.add_argument("--seconds", type=float, default=gateway.Plan.seconds, help="for each figure, in a round")

    one = names.add_parser("chart", help="how long it takes to see a long curve")
    one.add_argument("--rounds", type=int, default=chart.Plan.rounds)
    one.add_argument("--points", type=int, default=chart.Plan.points)
    one.add_argument("--requests", type=int, default=chart.Plan.requests, help="of each kind, in a round")

    one = names.add_parser("scale", help="thousands of jobs that train at once")
    one.add_argument("--jobs", type=int, default=scale.Plan.jobs, help="in the end; a tenth of it first")
    one.add_argument("--seconds", type=float, default=scale.Plan.seconds, help="watched, each time")
    one.add_argument("--speed", type=float, default=scale.Plan.speed, help="steps a second of each job")

    one = names.add_parser("start", help="how long the platform takes to start again")
    one.add_argument("--rounds", type=int, default=start.Plan.rounds)

    one = names.add_parser("train", help="how fast the trainer is, beside the libraries that it is made of")
    one.add_argument("--rounds", type=int, default=train.Plan.rounds)
    one.add_argument("--model", default=train.Plan.model, help="a folder of base models; make small builds the default")
    one.add_argument("--steps", type=int, default=train.Plan.steps)
    one.add_argument("--batch-size", type=int, default=train.Plan.batch_size)

    one = names.add_parser("validate", help="how fast a data set is validated, beside checkers of others")
    one.add_argument("--rounds", type=int, default=validate.Plan.rounds)
    one.add_argument("--megabytes", type=int, default=validate.Plan.megabytes, help="of each file")
    return parser.parse_args()


def _keep(name: str, about: Mapping[str, Any], measure: Callable[[], dict[str, Any]]) -> None:
    before = os.getloadavg()[0]
    measured = measure()
    about = {"date": date.today().isoformat(), **about, "machine": describe(before)}
    print(f"kept in {keep(name, about | measured)}\n")


if __name__ == "__main__":
    main()
