"""Generated requests, with `LIMPET_LONG=1` a thousand: none ends in a 5xx, and no answer tells what is inside."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tooling import edge_clients, recipe, steps

from .conftest import Serve
from .serving import LONG, ROOT

LIMIT_SECONDS = 540
REQUESTS = 1000 if LONG else 150
KEY = "key-of-the-tester-0123456789"


@pytest.mark.timeout(600)
def test_generated_requests(serve: Serve) -> None:
    steps.ensure(ROOT, recipe.STEPS, ["edge-clients"])
    edge, _ = serve(
        vars={"LIMPET_ACCESS": "keys", "LIMPET_MODEL": "openai_compatible:text:Fine."},
        env={
            "LIMPET_KEYS": json.dumps({"tester": {"key": KEY}}),
            "LIMPET_TOKEN_SECRET": "a secret of at least thirty-two characters",
            "OPENAI_COMPATIBLE_API_KEY": "key-of-the-upstream",
        },
    )
    command = [edge_clients.python(ROOT), Path(__file__).with_name("bad_input.py"), edge.server.url, KEY, str(REQUESTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)

    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["problems"] == []
    assert seen["sent"] >= REQUESTS
    # Some were answered, some refused: a server that refuses all would pass the rest too.
    assert seen["statuses"]["200"] > REQUESTS // 10
    assert seen["statuses"]["400"] > REQUESTS // 10
    assert edge.ask("GET", "/health").status == 200
