"""Where secrets may lie: what a row may say, which files are read, and that nothing of them is told."""

from __future__ import annotations

import base64
import os

import pytest

from alerts.adapters.credentials import MAX_SECRET, Credentials, CredentialsMissing, check_auth, check_tls

BEARER = {"type": "bearer", "token_file": "eu/token"}


@pytest.fixture
def directory(tmp_path):
    folder = tmp_path / "credentials"
    (folder / "eu").mkdir(parents=True)
    (folder / "eu/token").write_text("s3cret\n")
    return folder


def bearer(directory, name="eu/token"):
    return Credentials({"type": "bearer", "token_file": name}, {}, directory).headers()


# ------------------------------------------------------------------------------------------------ what a row may say


@pytest.mark.parametrize(
    "auth",
    [
        {},
        BEARER,
        {"type": "bearer", "token_variable": "PROM_AUTH_EU"},
        {"type": "basic", "username": "me", "password_file": "eu.pass"},
        {"type": "basic", "username": "ü", "password_variable": "PROM_AUTH_X_1"},
    ],
)
def test_ways_to_name_a_secret(auth):
    assert check_auth(auth) == []


def shown(value):
    """The same in every process: sets have no order."""
    return repr(sorted(value) if isinstance(value, set) else value)


WRONG_AUTH = [
    ([], {"/auth"}),
    (None, {"/auth"}),
    ({"type": "digest"}, {"/auth/type"}),
    ({"type": ["bearer"]}, {"/auth/type"}),
    ({"token_file": "x"}, {"/auth/type"}),
    ({"type": "bearer"}, {"/auth/token_file"}),
    ({"type": "bearer", "token": "abc"}, {"/auth/token"}),
    ({"token": "abc"}, {"/auth/token", "/auth/type"}),
    ({"type": "basic", "username": "u", "password": "abc"}, {"/auth/password"}),
    (BEARER | {"token_variable": "PROM_AUTH_X"}, {"/auth/token_variable"}),
    (BEARER | {"username": "u"}, {"/auth/username"}),
    (BEARER | {"a/b~": 1}, {"/auth/a~1b~0"}),
    ({"type": "basic", "password_file": "x"}, {"/auth/username"}),
    ({"type": "basic", "username": "a:b", "password_file": "x"}, {"/auth/username"}),
    ({"type": "basic", "username": "a\nb", "password_file": "x"}, {"/auth/username"}),
    ({"type": "bearer", "token_variable": "SECRET_KEY"}, {"/auth/token_variable"}),
    ({"type": "bearer", "token_variable": "PROM_AUTH_"}, {"/auth/token_variable"}),
    ({"type": "bearer", "token_variable": "PROM_AUTH_X\n"}, {"/auth/token_variable"}),
    ({"type": "bearer", "token_variable": 7}, {"/auth/token_variable"}),
    *(
        ({"type": "bearer", "token_file": name}, {"/auth/token_file"})
        for name in ("", ".", "/etc/passwd", "../x", "a/../../x", "a/..", "a\0b", "a\nb", 7, None, ["x"], "x" * 300)
    ),
]


@pytest.mark.parametrize(("auth", "pointers"), WRONG_AUTH, ids=shown)
def test_what_auth_may_not_say(auth, pointers, directory):
    findings = check_auth(auth)
    assert {finding.pointer for finding in findings} == pointers
    assert "abc" not in str(findings), "a literal secret is not repeated"
    if isinstance(auth, dict):
        with pytest.raises(CredentialsMissing):  # nor is a row obeyed that came in by another way
            Credentials(auth, {}, directory).headers()


def test_a_literal_secret_is_told_where_to_go():
    (finding,) = check_auth({"type": "bearer", "token": "abc"})
    assert finding.code == "secret_in_row"
    assert "PROMETHEUS_CREDENTIALS_DIR" in finding.hint


def test_nobody_is_told_that_literal_secrets_are_known_here():
    (finding,) = check_auth({"type": "bearer", "token_file": "x", "Token": "abc"})
    assert finding.hint == "known here: token_file, token_variable, type"


@pytest.mark.parametrize(
    ("tls", "pointers"),
    [
        ({}, set()),
        ({"ca_file": "ca.pem", "cert_file": "c.pem", "key_file": "k.pem", "server_name": "prom.example"}, set()),
        ({"cert_file": "both.pem"}, set()),
        ({"insecure_skip_verify": True}, {"/tls/insecure_skip_verify"}),
        ({"verify": False}, {"/tls/verify"}),
        ({"ca_file": "/etc/ssl/ca.pem"}, {"/tls/ca_file"}),
        ({"key_file": "k.pem"}, {"/tls/cert_file"}),
        ({"server_name": "a b"}, {"/tls/server_name"}),
        ({"server_name": ""}, {"/tls/server_name"}),
        ("x", {"/tls"}),
    ],
    ids=shown,
)
def test_what_tls_may_say(tls, pointers):
    assert {finding.pointer for finding in check_tls(tls)} == pointers


# ------------------------------------------------------------------------------------------------ what is read


def test_a_token_is_read_afresh_each_time(directory):
    credentials = Credentials(BEARER, {}, directory)
    assert credentials.headers() == {"Authorization": "Bearer s3cret"}
    (directory / "eu/token").write_text("rotated\r\n")
    assert credentials.headers() == {"Authorization": "Bearer rotated"}


def test_a_secret_may_be_in_a_variable(directory, monkeypatch):
    credentials = Credentials({"type": "bearer", "token_variable": "PROM_AUTH_EU"}, {}, directory)
    with pytest.raises(CredentialsMissing, match="PROM_AUTH_EU is not set"):
        credentials.headers()
    monkeypatch.setenv("PROM_AUTH_EU", "s3cret")
    assert credentials.headers() == {"Authorization": "Bearer s3cret"}


def test_user_and_password_are_utf8(directory):
    (directory / "password").write_text("pä:ss \n")
    auth = {"type": "basic", "username": "jürgen", "password_file": "password"}
    header = Credentials(auth, {}, directory).headers()["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == "jürgen:pä:ss "


def test_no_auth_is_no_header(directory):
    assert Credentials({}, {}, directory).headers() == {}


def test_links_that_stay_inside_are_followed(directory):
    """As Kubernetes mounts a secret: token → ..data/token, ..data → ..2026_01_01."""
    (directory / "..2026_01_01").mkdir()
    (directory / "..2026_01_01/token").write_text("mounted")
    (directory / "..data").symlink_to("..2026_01_01")
    (directory / "token").symlink_to("..data/token")
    assert bearer(directory, "token") == {"Authorization": "Bearer mounted"}


def test_the_directory_itself_may_be_a_link(directory, tmp_path):
    (tmp_path / "link").symlink_to(directory)
    assert bearer(tmp_path / "link") == {"Authorization": "Bearer s3cret"}


def test_links_that_lead_out_are_not_followed(directory, tmp_path):
    (tmp_path / "credentials-of-others").mkdir()  # begins like the directory's own name
    (tmp_path / "credentials-of-others/token").write_text("theirs")
    (directory / "out").symlink_to("../credentials-of-others/token")
    (directory / "far").symlink_to("/etc/hostname")
    (directory / "folder").symlink_to("../credentials-of-others")
    for name in ("out", "far", "folder/token"):
        with pytest.raises(CredentialsMissing, match="leads out"):
            bearer(directory, name)


@pytest.mark.parametrize("accident", ["missing", "folder", "pipe", "loop", "huge", "empty", "blank", "split"])
def test_a_secret_that_cannot_be_had_is_named_and_not_told(directory, accident):
    file = directory / "eu/token"
    file.unlink()
    match accident:
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "loop":
            file.symlink_to("token")
        case "huge":
            file.write_text("s3cret" * MAX_SECRET)
        case "empty":
            file.write_text("\n")
        case "blank":
            file.write_text("s3cret two words")
        case "split":
            file.write_text("s3cret\r\nX-Evil: 1")
    with pytest.raises(CredentialsMissing) as failed:
        bearer(directory)
    assert "token" in str(failed.value)
    assert "s3cret" not in str(failed.value)
    assert str(directory) not in str(failed.value)


def test_nothing_of_a_secret_is_in_what_python_prints(directory):
    credentials = Credentials(BEARER, {}, directory)
    credentials.headers()
    assert "s3cret" not in repr(credentials) + str(vars(credentials))


def test_certificates_are_found_below_the_directory_only(directory):
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (directory / name).write_text("x")
    tls = {"ca_file": "ca.pem", "cert_file": "cert.pem", "key_file": "key.pem", "server_name": "prom"}
    found = Credentials({}, tls, directory)
    assert found.ca_file() == str(directory / "ca.pem")
    assert found.client_certificate() == (str(directory / "cert.pem"), str(directory / "key.pem"))
    assert found.server_name == "prom"
    assert Credentials({}, {"cert_file": "cert.pem"}, directory).client_certificate() == str(directory / "cert.pem")
    with pytest.raises(CredentialsMissing, match=r"gone[.]pem"):
        Credentials({}, {"ca_file": "gone.pem"}, directory).ca_file()
