"""Generated requests, by schemathesis from the published OpenAPI document: `python bad_input.py URL KEY COUNT`.

Two of three are as described, one is bent. Prints how many were sent, their statuses, and what must not be.
"""

import json
import sys
import time
from collections import Counter

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode

url, key, wanted = sys.argv[1].rstrip("/"), sys.argv[2], int(sys.argv[3])
FORBIDDEN = ("Traceback", "/lib/python", "site-packages", ".py", 'File "', key, "key-of-the-upstream", "127.0.0.1")
SECONDS = 20

schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
statuses: Counter[int] = Counter()
problems: list[str] = []
sent = 0


def send(case) -> None:
    global sent
    began = time.monotonic()
    reply = case.call(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=SECONDS)
    sent += 1
    statuses[reply.status_code] += 1
    text = reply.content.decode("utf-8", "replace")
    where = f"{case.method} {case.path} {reply.status_code}"
    if reply.status_code >= 500:
        problems.append(f"{where}: {case.body!r:.300} -> {text:.300}")
    if reply.status_code >= 400:
        error = json.loads(text)["error"]
        if set(error) != {"message", "type", "param", "code"}:
            problems.append(f"{where}: not the shape of an error: {text:.300}")
        if leaked := [word for word in FORBIDDEN if word in text]:
            problems.append(f"{where}: tells {leaked}: {text:.300}")
    if time.monotonic() - began > SECONDS / 2:
        problems.append(f"{where}: took {time.monotonic() - began:.1f} s")


operations = [result.ok() for result in schema.get_all_operations()]
with_body = sum(bool(list(operation.body)) for operation in operations)
for operation in operations:
    # There is little to vary where nothing but an id is sent.
    each = 20 if not list(operation.body) else (wanted - 20 * (len(operations) - with_body)) // with_body + 20
    for mode, count in ((GenerationMode.POSITIVE, each - each // 3), (GenerationMode.NEGATIVE, each // 3)):
        run = given(case=operation.as_strategy(generation_mode=mode))(
            settings(
                max_examples=count,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(lambda case: send(case))
        )
        try:
            run()
        except (Unsatisfiable, schemathesis.errors.InvalidSchema):
            continue
print(json.dumps({"sent": sent, "statuses": dict(sorted(statuses.items())), "problems": problems}))
