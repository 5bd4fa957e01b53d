"""Settings: read from the environment, and every wrong one found by `manage.py check`, with an id and a hint."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config_server.database import database
from config_server.environment import Environment
from config_server.secret_key import secret_key

ROOT = Path(__file__).resolve().parent.parent
LONG = "k" * 50


# Even root is then held to the modes of files.
HELD_TO_MODES = [shutil.which("setpriv"), "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


def python(code: str, var: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environ = {**keep, "VAR_DIR": str(var), "DJANGO_SETTINGS_MODULE": "config_server.settings", **variables}
    command = [*HELD_TO_MODES, sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)


CHECK = """
import django, json
django.setup()
from django.core import checks
print(json.dumps([[m.id, m.msg, m.hint, m.level] for m in checks.run_checks(tags=["alerts"])]))
"""


def checked(var: Path, **variables: str) -> list[list[Any]]:
    result = python(CHECK, var, **variables)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


WRONG = {
    "a database of another kind": ("alerts.E001", {"DATABASE_URL": "mysql://u:secret@h/db", "SECRET_KEY": LONG}),
    "a database URL that is none": ("alerts.E001", {"DATABASE_URL": "postgresql://h:port/secret", "SECRET_KEY": LONG}),
    "a database without a name": ("alerts.E001", {"DATABASE_URL": "postgresql://u:secret@h", "SECRET_KEY": LONG}),
    "a database in memory": ("alerts.E001", {"DATABASE_URL": "sqlite://:memory:"}),
    "a database in a missing folder": ("alerts.E001", {"DATABASE_URL": "sqlite:////missing/policy.sqlite3"}),
    "no key on PostgreSQL": ("alerts.E002", {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d"}),
    "a short key": ("alerts.E002", {"SECRET_KEY": "secret"}),
    "neither true nor false": ("alerts.E004", {"DEBUG": "maybe"}),
    "a URL without a scheme": ("alerts.E005", {"PROMETHEUS_URL": "prometheus:9090"}),
    "a URL with a password": ("alerts.E005", {"PROMETHEUS_URL": "http://u:secret@h:9090"}),
    "a port that is none": ("alerts.E005", {"PROMETHEUS_URL": "http://h:99999"}),
    "a timeout of nothing": ("alerts.E006", {"PROMETHEUS_TIMEOUT": "0"}),
    "a timeout that is no number": ("alerts.E006", {"PROMETHEUS_TIMEOUT": "nan"}),
    "an unknown layout": ("alerts.E007", {"PROMETHEUS_RULE_LAYOUT": "per-group"}),
    "a mode that is none": ("alerts.E008", {"PROMETHEUS_RULE_FILE_MODE": "rw"}),
    "a mode its owner cannot read": ("alerts.E008", {"PROMETHEUS_RULE_FILE_MODE": "0044"}),
    "a label name that is none": ("alerts.E009", {"TARGET_LABEL": "a-b"}),
    "a label of Prometheus": ("alerts.E009", {"SCOPE_LABEL": "alertname"}),
    "a base URL with a query": ("alerts.E010", {"BASE_URL": "https://h/?a=b"}),
    "a base URL of another scheme": ("alerts.E010", {"BASE_URL": "ftp://h"}),
    "an unknown log level": ("alerts.E011", {"LOG_LEVEL": "loud"}),
    "an unknown log format": ("alerts.E019", {"LOG_FORMAT": "xml"}),
    "a rule directory that is a file": ("alerts.E012", {"PROMETHEUS_RULE_DIR": "/etc/passwd/rules"}),
    "a promtool that is none": ("alerts.E013", {"PROMTOOL_PATH": "/etc/passwd"}),
    "two labels of one name": ("alerts.E014", {"TARGET_LABEL": "place", "SCOPE_LABEL": "place"}),
    "a determining label that is none": ("alerts.E015", {"DETERMINING_LABELS": "instance,a-b"}),
    "a severity twice": ("alerts.E016", {"SEVERITIES": "page,page"}),
    "a broker that is none": ("alerts.E018", {"CELERY_BROKER_URL": "localhost:6379"}),
    "a broker of no known kind": ("alerts.E018", {"CELERY_BROKER_URL": "http://u:secret@h"}),
    "a broker that forgets all": ("alerts.E018", {"CELERY_BROKER_URL": "memory://"}),
    "a broker in a folder": ("alerts.E018", {"CELERY_BROKER_URL": "filesystem://"}),
    "a broker that is no Redis": ("alerts.E018", {"CELERY_BROKER_URL": "amqp://u:secret@h//"}),
    "a broker nowhere": ("alerts.E018", {"CELERY_BROKER_URL": "redis:///0"}),
    "a broker at no port": ("alerts.E018", {"CELERY_BROKER_URL": "redis://:secret@h:port/0"}),
    "a broker with a slash in its password": ("alerts.E018", {"CELERY_BROKER_URL": "redis://:1/secret@h:6379/0"}),
    "a broker's database without a number": ("alerts.E018", {"CELERY_BROKER_URL": "redis://:secret@h:6379/mine"}),
    "a lease of no time": ("alerts.E020", {"LEASE_SECONDS": "0"}),
    "a host that is none": ("alerts.E021", {"PROMETHEUS_ALLOWED_HOSTS": "a.example,http://b.example"}),
    "a root that is not absolute": ("alerts.E022", {"PROMETHEUS_RULE_ROOTS": "/srv,servers"}),
    "a root that is a file": ("alerts.E022", {"PROMETHEUS_RULE_ROOTS": "/etc/passwd"}),
    "a root below a file": ("alerts.E022", {"PROMETHEUS_RULE_ROOTS": "/etc/passwd/servers"}),
    "a rule directory that is not there": ("alerts.W009", {"PROMETHEUS_RULE_DIR": "/nowhere/rules"}),
    "a root that is not there": ("alerts.W006", {"PROMETHEUS_RULE_ROOTS": "/srv,/nowhere/servers"}),
    "credentials that are not absolute": ("alerts.E023", {"PROMETHEUS_CREDENTIALS_DIR": "credentials"}),
    "credentials that are a file": ("alerts.E023", {"PROMETHEUS_CREDENTIALS_DIR": "/etc/passwd"}),
    "credentials that are not there": ("alerts.W007", {"PROMETHEUS_CREDENTIALS_DIR": "/nowhere/credentials"}),
    "a host that is a URL": ("alerts.E024", {"ALLOWED_HOSTS": "a.example,http://b.example/"}),
    "a host with a path": ("alerts.E024", {"ALLOWED_HOSTS": "a.example/x"}),
    "hosts with blanks between": ("alerts.E024", {"ALLOWED_HOSTS": "a.example b.example"}),
    "a host with a port": ("alerts.E024", {"ALLOWED_HOSTS": "a.example:8000"}),
    "a pattern that Django does not know": ("alerts.E024", {"ALLOWED_HOSTS": "*.example"}),
    "an address with a port": ("alerts.E024", {"ALLOWED_HOSTS": "[::1]:8000"}),
    "figures in a file": ("alerts.E025", {"PROMETHEUS_MULTIPROC_DIR": "/etc/passwd"}),
    "figures nowhere": ("alerts.E025", {"PROMETHEUS_MULTIPROC_DIR": "/nowhere"}),
    "no promtool": ("alerts.W001", {"PATH": "/nowhere"}),
    "debugging in public": ("alerts.W002", {"DEBUG": "1", "BASE_URL": "https://h"}),
    "every host": ("alerts.W003", {"ALLOWED_HOSTS": "*"}),
    "TLS without a look at the certificate": ("alerts.W005", {"CELERY_BROKER_URL": "rediss://:secret@redis.example/0"}),
    "TLS told not to look": ("alerts.W005", {"CELERY_BROKER_URL": "rediss://redis.example/0?ssl_cert_reqs=none"}),
    "no reload": ("alerts.W004", {"PROMETHEUS_RELOAD_ENABLED": "off"}),
}


@pytest.mark.parametrize(("check_id", "variables"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_found_with_a_hint(tmp_path: Path, check_id: str, variables: dict[str, str]) -> None:
    found = [
        message for message in checked(tmp_path, **variables) if message[0] != "alerts.W001" or check_id == message[0]
    ]
    assert [message[0] for message in found] == [check_id]
    _, message, hint, _ = found[0]
    assert hint
    assert "secret@" not in message
    assert "/secret" not in message


@pytest.mark.parametrize(
    ("check_id", "name"),
    [
        ("alerts.E012", "PROMETHEUS_RULE_DIR"),
        ("alerts.E022", "PROMETHEUS_RULE_ROOTS"),
        ("alerts.E023", "PROMETHEUS_CREDENTIALS_DIR"),
        ("alerts.E025", "PROMETHEUS_MULTIPROC_DIR"),
    ],
)
def test_a_directory_that_is_closed_to_us_is_found(tmp_path: Path, check_id: str, name: str) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    found = checked(tmp_path / "var", **{name: str(tmp_path / "closed")})
    assert [message[0] for message in found if message[0] != "alerts.W001"] == [check_id]
    below = checked(tmp_path / "var", **{name: str(tmp_path / "closed" / "below")})
    assert [message[0] for message in below if message[0] != "alerts.W001"] == [check_id]


def test_sound_settings_pass(tmp_path: Path) -> None:
    sound = {
        "ALLOWED_HOSTS": "alerts.example,.example.org,web,my_host,10.0.0.5,[::1],[fd00::1]",
        "CELERY_BROKER_URL": "rediss://me:p%2Fw@redis.example:6379/15?ssl_cert_reqs=required",
        "PROMETHEUS_RULE_ROOTS": f"{tmp_path},/srv",
        "PROMETHEUS_CREDENTIALS_DIR": str(tmp_path),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
    }
    assert [message for message in checked(tmp_path, **sound) if message[0] != "alerts.W001"] == []


def test_without_any_variable_nothing_is_wrong(tmp_path: Path) -> None:
    assert [message[0] for message in checked(tmp_path) if message[0] != "alerts.W001"] == []


def test_a_var_directory_that_cannot_be_made_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ids = {message[0] for message in checked(tmp_path / "file" / "var")}
    assert {"alerts.E002", "alerts.E003", "alerts.E012"} <= ids


def test_the_web_does_not_open_on_a_wrong_setting(tmp_path: Path) -> None:
    result = python("import config_server.wsgi", tmp_path, PROMETHEUS_RULE_LAYOUT="per-group")
    assert result.returncode == 1
    assert "(alerts.E007) PROMETHEUS_RULE_LAYOUT" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("process", ["worker", "beat"])
def test_celery_does_not_open_on_a_wrong_setting(tmp_path: Path, process: str) -> None:
    code = f"from celery.__main__ import main; import sys; sys.argv[1:] = ['-A', 'config_server', '{process}']; main()"
    result = python(code, tmp_path, CELERY_BROKER_URL="memory://")
    assert result.returncode == 1
    assert "(alerts.E018) CELERY_BROKER_URL" in result.stderr.splitlines()[-1]


def test_the_web_opens_on_sound_settings(tmp_path: Path) -> None:
    result = python("import config_server.wsgi", tmp_path)
    assert result.returncode == 0, result.stderr


def test_celery_stays_away_without_a_broker(tmp_path: Path) -> None:
    code = "import sys, django; django.setup(); print('celery' in sys.modules)"
    assert python(code, tmp_path).stdout == "False\n"
    assert python(code, tmp_path, CELERY_BROKER_URL="redis://127.0.0.1:1").stdout == "True\n"


def test_what_is_kept_by_default_is_private(tmp_path: Path) -> None:
    assert python("import config_server.settings", tmp_path).returncode == 0
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"config-server.sqlite3": 0o600, "secret-key": 0o600}


def test_cookies_are_secure_behind_https(tmp_path: Path) -> None:
    code = (
        "from config_server import settings as s;"
        "print(s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.CSRF_TRUSTED_ORIGINS, s.ALLOWED_HOSTS[-1])"
    )
    assert python(code, tmp_path).stdout == "False False [] [::1]\n"
    behind = python(code, tmp_path, BASE_URL="https://alerts.example.org:8443/x/").stdout
    assert behind == "True True ['https://alerts.example.org:8443'] alerts.example.org\n"
    assert python(code, tmp_path, BASE_URL="http://[fd00::1]:8000").stdout.endswith(" [fd00::1]\n")
    assert python(code, tmp_path, ALLOWED_HOSTS="web,fd00::1").stdout.endswith(" [fd00::1]\n")  # a pod's address


# -- the secret key ----------------------------------------------------------------------------------------------------


def test_the_key_is_made_once(tmp_path: Path) -> None:
    first = secret_key(Environment({}), tmp_path, required=False)
    assert len(first) >= 50
    assert secret_key(Environment({}), tmp_path, required=False) == first
    assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]


def test_processes_that_start_together_have_one_key(tmp_path: Path) -> None:
    code = "from config_server.settings import SECRET_KEY; print(SECRET_KEY)"
    keep = {"PATH": os.environ["PATH"], "VAR_DIR": str(tmp_path)}
    started = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=keep, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    keys = {process.communicate(timeout=60)[0] for process in started}
    assert len(keys) == 1
    assert len(keys.pop()) > 50


def test_an_empty_key_file_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "secret-key").write_text("")
    assert len(secret_key(Environment({}), tmp_path, required=False)) >= 50


def test_a_given_key_is_not_written_down(tmp_path: Path) -> None:
    assert secret_key(Environment({"SECRET_KEY": LONG}), tmp_path, required=True) == LONG
    assert list(tmp_path.iterdir()) == []


# -- the database ------------------------------------------------------------------------------------------------------


def test_sqlite_is_made_for_several_writers(tmp_path: Path) -> None:
    options = database(Environment({}), tmp_path)["OPTIONS"]
    assert options["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in options["init_command"]


def test_postgresql_has_a_pool(tmp_path: Path) -> None:
    found = database(Environment({"DATABASE_URL": "postgresql://u:p%40@h:5433/d?sslmode=require"}), tmp_path)
    assert (found["USER"], found["PASSWORD"], found["HOST"], found["PORT"], found["NAME"]) == (
        "u",
        "p@",
        "h",
        5433,
        "d",
    )
    assert found["OPTIONS"]["sslmode"] == "require"
    assert found["OPTIONS"]["pool"]["max_size"] > 1


def test_a_wrong_url_never_falls_back_to_another_database(tmp_path: Path) -> None:
    environment = Environment({"DATABASE_URL": "postgresq://h/d"})
    assert database(environment, tmp_path)["ENGINE"] == "django.db.backends.dummy"
    assert [problem.id for problem in environment.problems] == ["alerts.E001"]


def test_the_host_of_the_settings_own_server_is_always_allowed(tmp_path: Path) -> None:
    code = "from config_server import settings as s; print(s.PROMETHEUS_ALLOWED_HOSTS)"
    given = {"PROMETHEUS_URL": "http://prom.example:9090", "PROMETHEUS_ALLOWED_HOSTS": "10.0.0.0/8"}
    assert python(code, tmp_path, **given).stdout.strip() == "('10.0.0.0/8', 'prom.example:9090')"
    assert "'localhost'" in python(code, tmp_path).stdout
