"""Every setting of the project, from environment variables alone (.env.example lists them)."""

import logging
from pathlib import Path
from typing import Any

import django_stubs_ext
from django.templatetags.static import static

from config.environment import (
    env,
    read_choice,
    read_database,
    read_flag,
    read_int,
    read_list,
    read_networks,
    read_rate,
    read_replicas,
    read_secret,
    read_text,
)
from config.logs import build_logging
from config.redis_cache import build_cache

# Lets classes of Django take type parameters when the program runs, as the type checker reads them.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent

# A file of variables beside manage.py is a convenience; the real environment wins over it.
ENV_FILE = read_text("LAUREL_ENV_FILE", str(BASE_DIR / ".env"))
if ENV_FILE and Path(ENV_FILE).is_file():
    env.read_env(ENV_FILE)

# Environment: defaults that are fit for development alone end where production begins.
LAUREL_ENV = read_choice("LAUREL_ENV", "development", ("development", "production"))
IS_PRODUCTION = LAUREL_ENV == "production"
DEBUG = read_flag("DEBUG", not IS_PRODUCTION)
DEVELOPMENT_SECRET_KEY = "development-only-secret-key-never-used-in-production-0123456789"
DEVELOPMENT_JWT_KEY = "development-only-jwt-key-never-used-in-production-0123456789"
SECRET_KEY = read_secret(
    "SECRET_KEY", development_default=DEVELOPMENT_SECRET_KEY, is_production=IS_PRODUCTION
)
ALLOWED_HOSTS = read_list("ALLOWED_HOSTS", "" if IS_PRODUCTION else "localhost,127.0.0.1,[::1]")
# Processes that serve this site on one machine: starts none, but the system checks need to know.
WEB_WORKERS = read_int("WEB_WORKERS", 1, low=1, high=1024)

# Applications: unfold restyles the admin and must come before it.
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.simple_history",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_prometheus",
    "django_structlog",
    "corsheaders",
    "rest_framework",
    "rest_framework_api_key",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "simple_history",
    "config",
    "achievements",
    "profiles",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    # Ready documents leave here; everything below is for the other requests.
    "achievements.api.fast_lane.FastLaneMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "config.login_brake.LoginBrakeMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.content_policy.ContentPolicyMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# Database: SQLite by default; MySQL or MariaDB by URL, always READ COMMITTED.
DATABASES = {
    "default": read_database("DATABASE_URL", "sqlite:///var/laurel.sqlite3", base_dir=BASE_DIR),
}
# Replicas for what is displayed; everything that writes stays with the primary.
REPLICA_MAX_LAG_SECONDS = read_int("REPLICA_MAX_LAG_SECONDS", 5, low=1, high=3600)
_read_only = read_replicas(
    "REPLICA_URLS",
    primary=DATABASES["default"],
    timeout_seconds=read_int("REPLICA_TIMEOUT_SECONDS", 1, low=1, high=60),
    base_dir=BASE_DIR,
)
DATABASES.update(_read_only)
REPLICAS = [alias for alias in _read_only if alias.startswith("replica_")]
DATABASE_ROUTERS = ["config.database_router.DatabaseRouter"] if REPLICAS else []
# Read when the tables of users are created; the migration records what it used.
USER_TABLE_PARTITIONS = read_int("USER_TABLE_PARTITIONS", 8)
# What spreads the rows of users over servers behind DATABASE_URL (docs/sharding.md).
DATABASE_SHARDING = read_choice("DATABASE_SHARDING", "none", ("none", "vitess", "tidb"))

# Cache: in this process by default; by URL in one Redis, a Redis Cluster, or what Sentinel names.
REDIS_URL = read_text("REDIS_URL")
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "KEY_FUNCTION": "config.cache_names.keep_name",
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    }
}
if REDIS_URL:
    CACHES["default"] = build_cache(REDIS_URL, name="REDIS_URL")
DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS = True
DJANGO_REDIS_LOGGER = "config.cache"

# Event transport: how a recorded event reaches the engine.
EVENT_TRANSPORT = read_choice("EVENT_TRANSPORT", "inline", ("inline", "celery", "kafka"))
KAFKA_BOOTSTRAP_SERVERS = read_text("KAFKA_BOOTSTRAP_SERVERS")
# Consumer processes on all machines together, where an operator wants them checked.
KAFKA_CONSUMERS = read_int("KAFKA_CONSUMERS", 1, low=0, high=100_000)
# The broker must not be a Redis Cluster. Everything else of Celery is in celery_app.py.
CELERY_BROKER_URL = read_text("CELERY_BROKER_URL") or None

# Achievements: where `rebuild` reads a user's past events, and what says whose profile is private;
# a host site may plug in its own.
ACHIEVEMENTS = {
    "HISTORY": read_text("ACHIEVEMENTS_HISTORY", "profiles.history.TestResultHistory"),
    "PRIVACY": read_text("ACHIEVEMENTS_PRIVACY", "profiles.selectors.find_private"),
}

# Bearer tokens of the host site: signature, issuer, audience and expiry are always verified.
JWT_ALGORITHM = read_choice(
    "JWT_ALGORITHM",
    "HS256",
    (
        *("HS256", "HS384", "HS512", "RS256", "RS384", "RS512"),
        *("PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"),
    ),
)
JWT_JWKS_URL = read_text("JWT_JWKS_URL")
JWT_KEY = read_secret(
    "JWT_KEY",
    # A public key has no default, and a key set by URL needs none.
    development_default="" if JWT_JWKS_URL or JWT_ALGORITHM[:2] != "HS" else DEVELOPMENT_JWT_KEY,
    is_production=IS_PRODUCTION,
).replace("\\n", "\n")
JWT_ISSUER = read_text("JWT_ISSUER", "" if IS_PRODUCTION else "laurel-development")
JWT_AUDIENCE = read_text("JWT_AUDIENCE", "" if IS_PRODUCTION else "laurel")

# API: JSON in and out, problems as application/problem+json.
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_RENDERER_CLASSES": ["achievements.api.renderers.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["achievements.api.parsers.BodyParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "achievements.api.authentication.BearerAuthentication",
        "achievements.api.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "DEFAULT_THROTTLE_CLASSES": ["achievements.api.throttling.TokenThrottle"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "achievements.api.problems.handle_exception",
    # The schema's page takes any ?version= into a header where none are named.
    "ALLOWED_VERSIONS": ["1"],
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Laurel",
    "DESCRIPTION": "Achievements for a typing site: events in, unlocks and progress out.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "POSTPROCESSING_HOOKS": ["achievements.api.schema.complete_schema"],
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# Who may call: browsers of these origins, and proxies whose forwarded address is believed.
CORS_ALLOWED_ORIGINS = read_list("CORS_ALLOWED_ORIGINS")
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_METHODS = ["GET", "HEAD", "POST", "OPTIONS"]
CORS_ALLOW_HEADERS = [
    *("accept", "authorization", "content-type", "idempotency-key", "if-none-match"),
    *("last-event-id", "x-csrftoken"),
]
CORS_EXPOSE_HEADERS = [
    *("ETag", "Idempotency-Replayed", "Location", "Retry-After", "WWW-Authenticate"),
    *("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy"),
]
CSRF_TRUSTED_ORIGINS = read_list("CSRF_TRUSTED_ORIGINS")
TRUSTED_PROXIES = read_networks("TRUSTED_PROXIES")

# How often one caller may call: a user, a service key, or else a client address.
API_THROTTLE_RATES = {
    "public": read_rate("THROTTLE_PUBLIC", "6000/minute"),  # the catalogue, profiles, the schema
    "private": read_rate("THROTTLE_PRIVATE", "600/minute"),  # what only the owner reads
    "results": read_rate("THROTTLE_RESULTS", "120/minute"),  # finished tests of one user
    "events": read_rate("THROTTLE_EVENTS", "120000/minute"),  # requests of one service key
    "login": read_rate("THROTTLE_LOGIN", "10/minute"),  # staff passwords tried from one address
}

# Streams: what opens a connection that hears Redis, and how many clients may be held open.
STREAM_CHANNELS = "config.redis_channels.connect"
STREAMS_PER_USER = read_int("STREAMS_PER_USER", 5, low=1, high=1000)  # in one process
STREAMS_PER_PROCESS = read_int("STREAMS_PER_PROCESS", 2000, low=1, high=1_000_000)

# Staff sessions.
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# Security headers. TLS ends at the proxy, so plain probes from inside stay possible.
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SECURE = IS_PRODUCTION
CSRF_COOKIE_SECURE = IS_PRODUCTION
if IS_PRODUCTION:
    SECURE_SSL_REDIRECT = read_flag("SECURE_SSL_REDIRECT", True)
    SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^metrics$"]
    SECURE_HSTS_SECONDS = read_int("SECURE_HSTS_SECONDS", 31_536_000, low=0)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    if TRUSTED_PROXIES:
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

# Language and time: everything is stored and served in UTC.
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

# Static files: hashed and compressed in production, straight from the apps in development.
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATIC_ROOT.mkdir(exist_ok=True)
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage",
    },
}

# Admin.
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Laurel",
    "SITE_HEADER": "Laurel",
    "SITE_SYMBOL": "trophy",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("profiles/favicon.svg"),
        }
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SIDEBAR": {"navigation": "config.admin_sidebar.list_navigation"},
    "COLORS": {
        # The laurel green of the pages, from light to dark.
        "primary": {
            "50": "oklch(97.6% .014 155)",
            "100": "oklch(94.5% .03 155)",
            "200": "oklch(89.5% .055 155)",
            "300": "oklch(82% .085 155)",
            "400": "oklch(74% .105 155)",
            "500": "oklch(62% .115 155)",
            "600": "oklch(47.5% .09 155)",
            "700": "oklch(41% .08 155)",
            "800": "oklch(35% .066 155)",
            "900": "oklch(30% .054 155)",
            "950": "oklch(21% .038 155)",
        },
    },
}

# Logs: one JSON object a line in production, readable lines in development, secrets never.
LOG_LEVEL = read_choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT = read_choice("LOG_FORMAT", "json" if IS_PRODUCTION else "console", ("json", "console"))
LOGGING_CONFIG = "config.logs.configure_logging"
LOGGING = build_logging(level=LOG_LEVEL, log_format=LOG_FORMAT)
# Two lines a request would cost more than the request itself: only refusals and failures are said.
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_STATUS_2XX_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_STATUS_4XX_LOG_LEVEL = logging.INFO
# Streams end with their clients; that is no trouble.
DJANGO_STRUCTLOG_REQUEST_CANCELLED_LOG_LEVEL = logging.DEBUG
PROMETHEUS_EXPORT_MIGRATIONS = False
