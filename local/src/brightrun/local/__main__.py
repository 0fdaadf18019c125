"""`python -m brightrun.local run` serves; `demo` serves and trains a first adapter."""

import argparse
import ctypes
import os
import signal
import sys

from pydantic import ValidationError

from brightrun.local.errors import DemoError, StartError
from brightrun.local.platform import Platform, running
from brightrun.local.program import descendants, end
from brightrun.local.settings import LocalSettings

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_CHILD_SUBREAPER = 36
CANNOT_START = 2


def main() -> None:
    """Run the command; exits 2 with one line when the platform cannot run here."""
    parser = argparse.ArgumentParser(prog="python -m brightrun.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="serve until Ctrl-C")
    demonstrate = commands.add_parser("demo", help="serve, and train an adapter as a first user")
    demonstrate.add_argument("--exit", action="store_true", help="stop afterwards: status 0 only for a good adapter")
    arguments = parser.parse_args()
    _inherit_orphans()
    for number in STOP_SIGNALS:
        signal.signal(number, _stop_once)
    try:
        status = _serve(with_demo=arguments.command == "demo", then_exit=getattr(arguments, "exit", False))
    except KeyboardInterrupt:
        status = 0
    end(descendants(os.getpid()))
    sys.exit(status)


def _serve(*, with_demo: bool, then_exit: bool) -> int:
    try:
        settings = LocalSettings()
        with running(settings, say) as platform:
            done = _demonstrate(platform, settings) if with_demo else True
            if then_exit:
                return 0 if done else 1
            _show_addresses(platform)
            signal.pause()
    except ValidationError as error:
        return _refuse("; ".join(f"BRIGHTRUN_{e['loc'][0]}".upper() + f": {e['msg']}" for e in error.errors()))
    except (StartError, OSError) as error:
        return _refuse(str(error))
    return 0


def _demonstrate(platform: Platform, settings: LocalSettings) -> bool:
    from brightrun.local import demo  # noqa: PLC0415 - its HTTP client would delay the engines

    try:
        demo.run(platform, settings, say)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr, flush=True)
        return False
    return True


def _show_addresses(platform: Platform) -> None:
    say(f"BrightRun serves from {platform.installation.home}")
    say(f"  pages {platform.web_url}")
    say(f"  API   {platform.api_url}")
    say(f"  docs  {platform.api_url}/docs")
    say("Ctrl-C stops everything.")


def _refuse(reason: str) -> int:
    print(f"brightrun: {reason}", file=sys.stderr, flush=True)
    return CANNOT_START


def say(line: str) -> None:
    """Print one line and flush it."""
    print(line, flush=True)


def _stop_once(*_: object) -> None:
    """Begin to stop, and ignore further signals: they would interrupt the clean-up."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _inherit_orphans() -> None:
    """Become the parent of processes that a dying service leaves behind, so that they can be found and ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


if __name__ == "__main__":
    main()
