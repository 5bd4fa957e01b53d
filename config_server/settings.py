"""Settings, all from the environment (see the README's table). A wrong one is reported by ``manage.py check``."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from alerts.adapters.allowed_urls import entry_of
from config_server.database import POSTGRESQL, database
from config_server.environment import ABSOLUTE, Environment
from config_server.logs import FORMATS, configuration
from config_server.secret_key import secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
environment = Environment(os.environ)
LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*\Z")
LABEL_HINT = "Use a label name such as target: not one of Prometheus' own, such as instance, nor one with __ in front."
METRIC_LABELS_OF_PROMETHEUS = frozenset(("alertname", "alertstate", "severity", "job", "instance", "le", "quantile"))


def _is_own_label(value: str) -> bool:
    return bool(LABEL_NAME.match(value)) and value not in METRIC_LABELS_OF_PROMETHEUS


# --- where things are ---------------------------------------------------------------------------------------------

VAR_DIR = Path(environment.text("VAR_DIR", str(BASE_DIR / "var"))).absolute()
try:
    VAR_DIR.mkdir(parents=True, exist_ok=True)
except OSError as error:
    environment.wrong("alerts.E003", "VAR_DIR", f"{VAR_DIR} cannot be made: {error.strerror}.", "Name one that can.")

DEBUG = environment.boolean("DEBUG", False, "alerts.E004")
DATABASES = {"default": database(environment, VAR_DIR)}
DATABASE_URL = environment.given("DATABASE_URL")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MIGRATION_MODULES = {"alerts": "migrations"}

# --- Prometheus ---------------------------------------------------------------------------------------------------

PROMETHEUS_URL = environment.url("PROMETHEUS_URL", "http://127.0.0.1:9090", "alerts.E005")
PROMETHEUS_TIMEOUT = environment.number("PROMETHEUS_TIMEOUT", 30.0, "alerts.E006", low=0.1, high=600)
PROMETHEUS_RULE_DIR = Path(environment.text("PROMETHEUS_RULE_DIR", str(VAR_DIR / "rules"))).absolute()
# Rule directories of further servers lie below one of these; a relative one below the first.
PROMETHEUS_RULE_ROOTS = environment.folders("PROMETHEUS_RULE_ROOTS", (str(VAR_DIR / "servers"),), "alerts.E022")
# Hosts that servers may have, and where their passwords, tokens and certificates lie.
PROMETHEUS_ALLOWED_HOSTS = (
    *environment.words("PROMETHEUS_ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]")),
    *((_own,) if (_own := entry_of(PROMETHEUS_URL)) else ()),
)
PROMETHEUS_CREDENTIALS_DIR = Path(
    environment.matching(
        "PROMETHEUS_CREDENTIALS_DIR", str(VAR_DIR / "credentials"), os.path.isabs, "alerts.E023", ABSOLUTE
    )
)
PROMETHEUS_RULE_LAYOUT = environment.choice(
    "PROMETHEUS_RULE_LAYOUT", "per-scope", ("per-scope", "consolidated"), "alerts.E007"
)
PROMETHEUS_RULE_FILE_MODE = environment.mode("PROMETHEUS_RULE_FILE_MODE", 0o444, "alerts.E008")
# Seconds until somebody else may take over from a worker that hangs; all workers should agree.
LEASE_SECONDS = environment.number("LEASE_SECONDS", 60.0, "alerts.E020", low=1, high=3600)
PROMETHEUS_RELOAD_ENABLED = environment.boolean("PROMETHEUS_RELOAD_ENABLED", True, "alerts.E004")
# None: checks by promtool are left out, and everything that depends on them says so.
PROMTOOL_PATH = environment.given("PROMTOOL_PATH") or shutil.which("promtool")

# --- the policy's own words ---------------------------------------------------------------------------------------

TARGET_LABEL = environment.matching("TARGET_LABEL", "target", _is_own_label, "alerts.E009", LABEL_HINT)
SCOPE_LABEL = environment.matching("SCOPE_LABEL", "policy_scope", _is_own_label, "alerts.E009", LABEL_HINT)
# Labels that decide a series' position: grouping by one of them is as good as grouping by the target.
DETERMINING_LABELS = environment.words("DETERMINING_LABELS", ("instance",))
SEVERITIES = environment.words("SEVERITIES", ("critical", "warning", "info"))

# --- the web ------------------------------------------------------------------------------------------------------

BASE_URL = environment.url("BASE_URL", "", "alerts.E010")
_base = urlsplit(BASE_URL)
_own_host = (_base.hostname,) if _base.hostname else ()
ALLOWED_HOSTS = list(environment.hosts("ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]", *_own_host), "alerts.E024"))
SECRET_KEY = secret_key(environment, VAR_DIR, required=not DEBUG and DATABASES["default"]["ENGINE"] == POSTGRESQL)

ROOT_URLCONF = "config_server.urls"
WSGI_APPLICATION = "config_server.wsgi.application"
INSTALLED_APPS = [
    "alerts.apps.AlertsConfig",
    "django.contrib.admin.apps.SimpleAdminConfig",  # found in urls.py: only the web needs it
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
MIDDLEWARE = [
    "config_server.request_ids.RequestIds",
    "django.middleware.security.SecurityMiddleware",
    "config_server.security.ContentSecurityPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
APPEND_SLASH = True
STATIC_URL = "/static/"
# Served from the packages themselves: nothing has to be collected before the first start.
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# --- security -----------------------------------------------------------------------------------------------------

_https = _base.scheme == "https"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = [f"{_base.scheme}://{_base.netloc}"] if BASE_URL else []
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
LOGIN_URL = "/login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- language, time, log ------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
USE_I18N = False
TIME_ZONE = "UTC"
USE_TZ = True
LOG_LEVEL = environment.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"), "alerts.E011")
LOG_FORMAT = environment.choice("LOG_FORMAT", "line", FORMATS, "alerts.E019")
LOGGING = configuration(LOG_FORMAT, LOG_LEVEL)

# --- the API ------------------------------------------------------------------------------------------------------

# The API's own layer counts bytes before this; admin forms hold larger lists of fields.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000
CSRF_FAILURE_VIEW = "alerts.api.handlers.csrf_failure"
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "config-server",
    "DESCRIPTION": "Layered alert policies in, proven Prometheus rule files out.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    # The views describe themselves exactly; nothing is to be guessed afterwards.
    "POSTPROCESSING_HOOKS": [],
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# --- Celery (only with a broker) ----------------------------------------------------------------------------------

CELERY_BROKER_URL = environment.redis("CELERY_BROKER_URL", None, "alerts.E018")
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "celerybeat-schedule")  # the rest: config_server/celery.py

ENVIRONMENT_PROBLEMS = tuple(environment.problems)
