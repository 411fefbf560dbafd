"""`python -m limpet site` and `dev` where nothing but the wheels is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

import pytest

from limpet.entrypoints import cli
from tooling import packages
from tooling.site_folder import write_site

ROOT = Path(__file__).parents[1]
SITE = Path(os.environ.get("LIMPET_SITE", ROOT / "build" / "site"))
LIMIT_SECONDS = 100.0
AGENT = "from limpet import Agent\nagent = Agent(model='local:tiny', name='first')\n"


def _run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with `limpet[site]` in it and nothing else."""
    if not (SITE / "limpet.js").is_file():
        pytest.fail("the site is not built: python3 build.py site")
    folder = tmp_path_factory.mktemp("installed")
    packages.build_site_wheel(ROOT, folder)
    (folder / packages.WHEEL).write_bytes((ROOT / "build" / "wheel" / packages.WHEEL).read_bytes())
    environment = folder / "venv"
    venv.create(environment, symlinks=os.name != "nt")
    program = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    options = ["--quiet", "--no-index", "--disable-pip-version-check", "--find-links", folder]
    _run(sys.executable, "-m", "pip", "--python", program, "install", *options, "limpet[site]")
    return program


def _tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.timeout(240)
def test_the_installed_command_writes_the_same_site(python: Path, tmp_path: Path) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text(AGENT)
    write_site(SITE, agent, tmp_path / "ours")

    words = ["site", agent, "--out", tmp_path / "theirs", "--models-dir", SITE / "models", "--no-compression"]
    told = _run(python, "-I", "-m", "limpet", *words).stdout

    assert _tree(tmp_path / "theirs") == _tree(tmp_path / "ours")
    assert "until it is ready" in told


@pytest.mark.timeout(240)
def test_the_installed_dev_serves_the_page_and_the_file_as_it_is_now(python: Path, tmp_path: Path) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text(AGENT)
    words = [python, "-I", "-u", "-m", "limpet", "dev", agent, "--models-dir", SITE / "models"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            url = re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())
            assert url is not None
            read = {name: _get(url[0] + name) for name in ("", "limpet.js", "pyodide/pyodide.mjs", "style.css")}
            before = _get(url[0] + "agent.py")
            agent.write_text(AGENT.replace("first", "second"))
            after = _get(url[0] + "agent.py")
            model = _get(url[0] + "models/tiny/model.json")
        finally:
            server.terminate()
            server.wait(10)

    assert b'<limpet-chat src="agent.py" watch>' in read[""]
    assert read["limpet.js"] == (SITE / "limpet.js").read_bytes()
    assert (b"first" in before, b"second" in after) == (True, True)
    assert model == (SITE / "models/tiny/model.json").read_bytes()
    assert os.listdir(tmp_path) == ["agent.py"]


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as response:
        body: bytes = response.read()
    return body


def test_without_the_wheel_it_is_said_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["site", "agent.py", "--out", "x"]) == 2
    assert "pip install limpet[site]" in capsys.readouterr().err
