"""Signatures against AWS's own test suite, which Apache-licensed projects such as Bazel carry.

Left out of it are dot segments and doubled slashes in paths, folded header lines, and text in a query that isn't
percent-encoded: no request of ours has any of these.
"""

from __future__ import annotations

import pytest

from limpet.host import HttpRequest
from limpet.protocols.sigv4 import sign_request

HOST = "https://example.amazonaws.com"
MOMENT = 1_440_938_160.0  # 2015-08-30 12:36:00 UTC
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwth"
    "Ax7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAki"
    "Y9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
FORM = "application/x-www-form-urlencoded"


def sign(request: HttpRequest, token: str | None = None) -> str:
    signed = sign_request(
        request,
        access_key="AKIDEXAMPLE",
        secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",  # AWS's example
        session_token=token,
        region="us-east-1",
        service="service",
        now=MOMENT,
    )
    assert signed.headers["x-amz-date"] == "20150830T123600Z"
    assert signed.headers.get("x-amz-security-token") == token
    return signed.headers["authorization"]


@pytest.mark.parametrize(
    ("request_", "names", "signature"),
    [
        pytest.param(
            HttpRequest("GET", f"{HOST}/"),
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            id="get-vanilla",
        ),
        pytest.param(
            HttpRequest("GET", f"{HOST}:443"),
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            id="get-vanilla without a path, with a port",
        ),
        pytest.param(
            HttpRequest("GET", f"{HOST}/?Param2=value2&Param1=value1"),
            "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            id="get-vanilla-query-order-key-case",
        ),
        pytest.param(
            HttpRequest("GET", f"{HOST}/?{UNRESERVED}={UNRESERVED}"),
            "host;x-amz-date",
            "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
            id="get-vanilla-query-unreserved",
        ),
        pytest.param(
            HttpRequest("GET", f"{HOST}/{UNRESERVED}"),
            "host;x-amz-date",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            id="get-unreserved",
        ),
        pytest.param(
            HttpRequest("GET", f"{HOST}/\u1234"),
            "host;x-amz-date",
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
            id="get-utf8",
        ),
        pytest.param(
            HttpRequest("GET", f"{HOST}/example space/"),
            "host;x-amz-date",
            "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
            id="get-space",
        ),
        pytest.param(
            HttpRequest("GET", f"{HOST}/", {"My-Header1": " value1", "My-Header2": ' "a   b   c"'}),
            "host;my-header1;my-header2;x-amz-date",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            id="get-header-value-trim",
        ),
        pytest.param(
            HttpRequest("POST", f"{HOST}/"),
            "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            id="post-vanilla",
        ),
        pytest.param(
            HttpRequest("POST", f"{HOST}/", {"My-Header1": "value1"}),
            "host;my-header1;x-amz-date",
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
            id="post-header-key-sort",
        ),
        pytest.param(
            HttpRequest("POST", f"{HOST}/", {"Content-Type": FORM}, b"Param1=value1"),
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            id="post-x-www-form-urlencoded",
        ),
        pytest.param(
            HttpRequest("POST", f"{HOST}/", {"Content-Type": f"{FORM}; charset=utf8"}, b"Param1=value1"),
            "content-type;host;x-amz-date",
            "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
            id="post-x-www-form-urlencoded-parameters",
        ),
    ],
)
def test_a_request_of_the_suite_has_its_signature(request_: HttpRequest, names: str, signature: str) -> None:
    credential = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"

    assert sign(request_) == f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"


def test_a_session_token_is_signed_too() -> None:
    """`post-sts-header-before` of the suite."""
    assert sign(HttpRequest("POST", f"{HOST}/"), TOKEN).endswith(
        "SignedHeaders=host;x-amz-date;x-amz-security-token, "
        "Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
    )


def test_what_is_quoted_is_quoted_once_more() -> None:
    """A model's name has a colon, which stands as `%3A` in the path and as `%253A` in what is signed."""
    quoted, twice = (sign(HttpRequest("POST", f"{HOST}/{path}")) for path in ("a%3A0", "a%253A0"))

    assert quoted != twice
    assert quoted != sign(HttpRequest("POST", f"{HOST}/a:0"))
