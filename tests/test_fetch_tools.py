"""The script that unpacks servers: finds the mirror, leaves nothing half done, says why something cannot be had."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import tarfile
from hashlib import sha256

import pytest

from tests.servers.binaries import ROOT

TOOL = "prometheus"


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The script as a module, with a .tools/ of its own and an empty PATH as far as it looks."""
    spec = importlib.util.spec_from_file_location("fetch_tools", ROOT / "scripts/fetch_tools.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "fetch_tools", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "TOOLS", tmp_path / ".tools")
    return module


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("sources.list", "deb http://mirror.example/debian bookworm main\n"),
        (
            "sources.list",
            "# deb http://old.example/debian x main\ndeb [arch=amd64] http://mirror.example/debian sid main",
        ),
        ("sources.list.d/debian.sources", "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n"),
        ("sources.list.d/all.sources", "URIs: https://elsewhere.example/apt http://mirror.example/debian\n"),
    ],
)
def test_the_mirror_is_the_one_this_machine_uses(script, tmp_path, file, text):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert script.debian_mirror(tmp_path) == "http://mirror.example/debian"


def test_the_security_archive_is_not_the_mirror(script, tmp_path):
    (tmp_path / "sources.list").write_text("deb http://mirror.example/debian-security bookworm-security main\n")
    assert script.debian_mirror(tmp_path) == "http://deb.debian.org/debian"


def test_what_cannot_be_had_leaves_its_reasons_and_nothing_else(script, monkeypatch, capsys):
    def interrupted(suite, tool, folder):
        (folder / "usr/bin").mkdir(parents=True)
        (folder / "usr/bin/prometheus").touch()
        raise script.Unavailable("the mirror is gone")

    monkeypatch.setattr(script, "from_debian", interrupted)
    monkeypatch.setattr(script, "download", lambda url: (_ for _ in ()).throw(script.Unavailable("no route")))
    with script.one_at_a_time():
        assert not script.provide(script.OWN)
    assert "the mirror is gone; no route" in capsys.readouterr().err
    assert sorted(path.name for path in script.TOOLS.iterdir()) == ["lock", f"{TOOL}.missing"]


def test_a_tool_that_is_there_costs_nothing_and_is_no_longer_missing(script, monkeypatch):
    monkeypatch.setattr(script, "from_debian", lambda *_: pytest.fail("fetched again"))
    (script.TOOLS / TOOL / "usr/bin").mkdir(parents=True)
    (script.TOOLS / TOOL / "usr/bin/promtool").touch()
    (script.TOOLS / f"{TOOL}.missing").write_text("earlier")
    with script.one_at_a_time():
        assert script.provide(script.OWN)
    assert not (script.TOOLS / f"{TOOL}.missing").exists()


def archive(name):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for program in ("prometheus", "promtool", "LICENSE"):
            member = tarfile.TarInfo(f"{name}/{program}")
            member.mode, member.size = 0o755, 3
            tar.addfile(member, io.BytesIO(b"abc"))
    return buffer.getvalue()


@pytest.mark.parametrize("tampered", [False, True])
def test_upstream_archives_are_taken_only_with_their_published_checksum(script, monkeypatch, tampered):
    monkeypatch.setattr(script.platform, "machine", lambda: "x86_64")
    version = script.OWN.upstream[0][1]
    content = archive(f"prometheus-{version}.linux-amd64")
    sums = f"{sha256(content).hexdigest()}  prometheus-{version}.linux-amd64.tar.gz\n".encode()
    answers = {"sha256sums.txt": sums, f"prometheus-{version}.linux-amd64.tar.gz": content + b"x" * tampered}
    monkeypatch.setattr(script, "download", lambda url: answers[url.rpartition("/")[2]])
    tool = dataclasses.replace(script.OWN, suites=())
    with script.one_at_a_time():
        assert script.provide(tool) is not tampered
    programs = [path.name for path in sorted(script.TOOLS.glob(f"{TOOL}/usr/bin/*"))]
    assert programs == ([] if tampered else ["prometheus", "promtool"])
