#!/usr/bin/env python3
"""The one entrance: `python3 build.py run | ask | test | check | bench | docs | generate | models | clean | all`.

Needs Python 3.11 and nothing else. It reads the command line, sees to it that `build/venv` holds what `pyproject.toml`
pins, and hands over to `web/tooling/main.py` inside it. Only the standard library is imported on this side.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent

if sys.version_info < (3, 11):  # noqa: UP036  # whoever starts it with an older one is told so
    sys.exit(f"build.py needs Python 3.11 or newer; this is {sys.version.split()[0]}. Try: python3.11 build.py")

sys.path.insert(0, str(ROOT / "web"))

from tooling import arguments, environment, progress  # noqa: E402  # after the version check, and the path is set here


def main() -> int:
    """Check the arguments, make the virtual environment, and go on inside it. Gives the exit code."""
    options = arguments.parse(sys.argv[1:])
    if options.command == "clean":
        environment.clean(ROOT, everything=options.everything)
        return 0
    python = environment.ensure(ROOT)
    command = [str(python), "-m", "tooling.main", *sys.argv[1:]]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execv(python, command)  # Ctrl-C and the exit code then need nobody in between
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    progress.exit_with(main)
