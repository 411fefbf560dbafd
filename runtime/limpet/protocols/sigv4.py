"""AWS Signature Version 4: proves a request with a secret that is not in it.

Source: AWS IAM User Guide, "Create a signed AWS API request"; checked against AWS's own test suite. The path is
percent-encoded once more for signing, as all services but S3 want it. Dot segments and doubled slashes are left as
they are: no address of ours has any.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from dataclasses import replace

from ..host import HttpRequest

_ALGORITHM = "AWS4-HMAC-SHA256"
_URL = re.compile(r"https?://(?P<host>[^/?#]+)(?P<path>[^?#]*)\??(?P<query>[^#]*)")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")


def sign_request(
    request: HttpRequest,
    *,
    access_key: str,
    secret_key: str,
    session_token: str | None = None,
    region: str,
    service: str,
    now: float,
) -> HttpRequest:
    """Give the request with its signature, over all of its headers. `now` is in seconds since 1970.

    The host is signed but not among the headers: every HTTP client sends it itself.
    """
    match = _URL.fullmatch(request.url)
    assert match is not None, "a remote model's address was checked before"
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    headers = {**request.headers, "x-amz-date": moment}
    if session_token:
        headers["x-amz-security-token"] = session_token
    signed = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    signed["host"] = re.sub(r":(80|443)$", "", match["host"])
    names = sorted(signed)
    canonical = "\n".join(
        (
            request.method,
            "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in (match["path"] or "/").encode()),
            "&".join(sorted(item if "=" in item else f"{item}=" for item in match["query"].split("&") if item)),
            *(f"{name}:{signed[name]}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(request.body or b"").hexdigest(),
        )
    )
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    text = "\n".join((_ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{secret_key}".encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"{_ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return replace(request, headers=headers)
