"""One frozen settings object: every setting with its default, its range and what it does.

``server/config/settings_sources.py`` reads it from buzz.toml, the environment and the flags; ``docs/settings.md``
lists it.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from protocol.attestation import AttestationLevel, AttestationPolicy
from protocol.privacy_request import MIN_RETENTION_MONTHS


class LogLevel(StrEnum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """One JSON object per line for machines, or text for people."""

    JSON = "json"
    TEXT = "text"


class Traces(StrEnum):
    """Whether spans are exported: not at all, or by OTLP over HTTP to where OpenTelemetry's variables say."""

    OFF = "off"
    OTLP = "otlp"


class Mode(StrEnum):
    """The mode of operation: development has defaults for what production must configure."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


PREFIX: Final = "BUZZ_"
"""How the names of the settings begin in the environment."""

MAX_URL_CHARACTERS: Final = 2_000
MAX_CLAIM_CHARACTERS: Final = 256


def _comma_separated(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path not in ("", "/") or parts.query:
        raise ValueError("should be http(s)://HOST[:PORT], without a path")
    return value.rstrip("/").lower()


def _secret_url(*schemes: str) -> AfterValidator:
    def check(value: SecretStr) -> SecretStr:
        parts = urlsplit(value.get_secret_value())
        if parts.scheme not in schemes or not (parts.netloc or parts.scheme == "unix"):
            raise ValueError(f"should be a URL that begins with {' or '.join(f'{each}://' for each in schemes)}")
        return value

    return AfterValidator(check)


def _web_url(value: str) -> str:
    parts = urlsplit(value)
    is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and value.isascii() and value.isprintable()
    if not is_url or " " in value or parts.fragment or len(value) > MAX_URL_CHARACTERS:
        raise ValueError(f"should be an http(s) URL of at most {MAX_URL_CHARACTERS} characters, without a fragment")
    return value


def _claim_path(value: str) -> str:
    if not all(re.split(r"(?<!\\)\.", value)) or len(value) > MAX_CLAIM_CHARACTERS:
        raise ValueError(f"should be a claim's name, or names separated by dots, of {MAX_CLAIM_CHARACTERS} characters")
    return value


Seconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
ClaimPath = Annotated[str, AfterValidator(_claim_path)]
NumberSource = Literal["pool", "twilio", "fictional"]
Port = Annotated[int, Field(ge=0, le=65_535)]
Origin = Annotated[str, AfterValidator(_origin)]
Origins = Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_comma_separated)]
RetrySeconds = Annotated[tuple[Seconds, ...], NoDecode, BeforeValidator(_comma_separated)]
DatabaseUrl = Annotated[SecretStr, _secret_url("postgresql", "postgres")]
BusUrl = Annotated[SecretStr, _secret_url("valkey", "valkeys", "redis", "rediss", "sentinel", "sentinels", "unix")]


class Settings(BaseSettings):
    """All settings of an operator. Each field is ``BUZZ_<NAME>`` in the environment and ``<name>`` in buzz.toml."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
    )

    mode: Mode = Field(Mode.PRODUCTION, description="development or production")
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: Port = Field(8080, description="Port to listen on; 0 picks a free one")
    data_dir: Path = Field(Path("var"), description="Where the database, the signing key and the lock file are")
    public_url: Origin | None = Field(
        None, description="The address that Twilio, clients and receivers use, e.g. https://buzz.example"
    )

    app: bool = Field(True, description="Whether the web app is served at /: true or false")

    # Storage and bus
    database_url: DatabaseUrl | None = Field(None, description="postgresql://…; unset: SQLite in the data directory")
    database_connections: Annotated[int, Field(ge=2, le=1_000)] = Field(
        10, description="Most PostgreSQL connections of this node; one of them writes the log"
    )
    bus_url: BusUrl | None = Field(
        None,
        description="valkey://…, redis://… or sentinel://…/name; several hosts are separated by commas; unset: no bus",
    )
    bus_namespace: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")] = Field(
        "buzz", description="Prefix of the bus channels, so that two clusters can share one bus"
    )

    # Sockets
    origins: Origins = Field(
        (),
        description="Browser origins allowed besides the server's own host (in development also localhost, "
        "127.0.0.1 and [::1] with any port)",
    )
    max_frame_bytes: Count = Field(128 * 1024, description="Largest frame accepted from a client")
    hello_timeout_seconds: Seconds = Field(10, description="Time for a client to send its first frame")
    heartbeat_seconds: Seconds = Field(25, description="How often the server pings a session")
    heartbeat_timeout_seconds: Seconds = Field(
        10, description="Time for the answer to a ping; then the socket is closed with 4408"
    )
    max_connections: Annotated[int, Field(ge=64, le=1_000_000)] = Field(
        4_096, description="Most HTTP connections, not counting live sockets; above it, idle ones are closed"
    )
    max_sessions: Count = Field(18_000, description="Most sessions on this node; above it, upgrades get 503")
    max_sessions_per_person: Count = Field(
        16, description="Most sessions of one person; above it, the oldest is closed with 4409"
    )
    max_handshakes_per_address: Count = Field(
        200, description="Most sockets from one address that have not sent hello yet"
    )
    send_rate_limit: Count = Field(50, description="Sends a second of one person; bursts of four times as many")
    frame_rate_limit: Count = Field(500, description="Frames of every kind a second on one socket; above it, 4429")
    drain_seconds: Annotated[float, Field(ge=0, le=3_600)] = Field(
        20, description="How long the server waits for clients after SIGTERM"
    )
    ring_size: Count = Field(
        4_096, description="How many of the newest activities are kept in memory for live delivery"
    )
    catch_up_readers: Count = Field(2, description="How many readers load activities for sessions that are behind")
    look_seconds: Seconds = Field(
        30, description="Longest time between two reads of the log without a notice (several nodes)"
    )

    # Look-ups
    lookup_deadline_ms: Count = Field(
        1_000, description="Time for a look-up; then it answers untrusted, and a call hears the busy tone"
    )
    attestation: AttestationPolicy = Field(
        "refuse-failed",
        description="What Buzz requires of a call's signature (STIR/SHAKEN): refuse-failed, require or ignore",
    )
    attestation_level: AttestationLevel = Field("B", description="The lowest level that require accepts: A, B or C")
    call_log_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        90, description="Days that a call stays in the lists of calls and of blocked calls"
    )
    twilio_auth_token: SecretStr | None = Field(None, description="Twilio's auth token, to check X-Twilio-Signature")
    twilio_account_sid: Annotated[str, Field(pattern="^AC[0-9a-f]{32}$")] | None = Field(
        None, description="The Twilio account for downloading recordings and buying numbers"
    )
    twilio_api_url: Origin = Field(
        "https://api.twilio.com", description="Twilio's REST API; tests use a server of their own"
    )
    twilio_api_key_sid: Annotated[str, Field(pattern="^SK[0-9a-f]{32}$")] | None = Field(
        None, description="The Twilio API key for making voice tokens; unset: no voice tokens"
    )
    twilio_api_key_secret: SecretStr | None = Field(None, description="The secret of that API key")
    twilio_application_sid: Annotated[str, Field(pattern="^AP[0-9a-f]{32}$")] | None = Field(
        None, description="The TwiML application for calls that the app makes; unset: it only receives calls"
    )
    twilio_push_credential_sid: Annotated[str, Field(pattern="^CR[0-9a-f]{32}$")] | None = Field(
        None, description="The push credential that Twilio uses to notify the app of a call"
    )
    voice_token_seconds: Annotated[int, Field(ge=60, le=86_400)] = Field(
        3_600, description="How long a voice token is valid; never longer than the access token of its request"
    )
    number_provider: Literal["pool", "twilio"] = Field("pool", description="Where numbers come from: pool or twilio")
    number_country: Annotated[str, Field(pattern="^[A-Z]{2}$")] = Field(
        "US", description="The country (two letters) in which the twilio provider buys numbers"
    )

    voice_fallback_url: Annotated[str, AfterValidator(_web_url)] | None = Field(
        None,
        description="The URL that Twilio requests when /twilio/voice fails, e.g. a TwiML Bin; given to each number "
        "that is bought; unset: /twilio/voice/unavailable here",
    )

    # Privacy requests and webhooks
    trusted_hops: Annotated[int, Field(ge=0, le=10)] = Field(
        0, description="How many proxies in front add trusted X-Forwarded-For entries (and X-Forwarded-Proto)"
    )
    privacy_forms_per_minute: Count = Field(10, description="Most privacy forms from one address in a minute")
    call_texts: Path | None = Field(
        None,
        description="A TOML file with the texts that callers of the privacy line hear, by line and service code; "
        "unset: the built-in texts, in English and Spanish",
    )
    webhook_retry_seconds: RetrySeconds = Field(
        (1800, 1800, 1800), description="Waits before each automatic retry of a webhook; after the last, it has failed"
    )
    webhook_timeout_seconds: Annotated[float, Field(gt=0, le=25)] = Field(
        15, description="How long a webhook's receiver may take to answer"
    )
    webhook_tolerance_seconds: Seconds = Field(
        300, description="How far off the signature time of an event from another service may be"
    )
    webhook_link_seconds: Annotated[float, Field(ge=60, le=30 * 86_400)] = Field(
        259_200, description="How long the link to a recording in an event works"
    )
    webhook_log_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        90, description="Days that a delivery stays in the list after it was made or cancelled"
    )
    privacy_retention_months: Annotated[int, Field(ge=MIN_RETENTION_MONTHS, le=1_200)] | None = Field(
        None,
        description="Months after its last change that a completed privacy request is deleted, 24 or more; "
        "unset: never",
    )
    webhook_ca_file: Path | None = Field(
        None, description="CA certificates that webhooks trust in addition to the system's"
    )

    # Push
    push_vapid_key_file: Path | None = Field(
        None,
        description="The key of Web Push (P-256, PEM), shared by all nodes; unset: no Web Push, but in development a "
        "key is made in the data directory",
    )
    push_vapid_subject: Annotated[str, Field(pattern=r"^(mailto:|https://)[\x21-\x7e]{1,200}$")] | None = Field(
        None,
        description="Where push services can reach the operator: mailto:… or an https URL; unset: BUZZ_PUBLIC_URL",
    )
    push_apns_key_file: Path | None = Field(
        None, description="Apple's key for push (a .p8 file); unset: no push to Apple devices"
    )
    push_apns_key_id: Annotated[str, Field(pattern="^[A-Z0-9]{10}$")] | None = Field(
        None, description="The id of that key"
    )
    push_apns_team_id: Annotated[str, Field(pattern="^[A-Z0-9]{10}$")] | None = Field(
        None, description="The id of the Apple developer team"
    )
    push_apns_topics: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)] = Field(
        (), description="The bundle ids of the apps that may register, separated by commas"
    )
    push_apns_url: Origin = Field(
        "https://api.push.apple.com", description="Apple's push service; tests use a server of their own"
    )
    push_apns_development_url: Origin = Field(
        "https://api.sandbox.push.apple.com", description="Apple's push service for apps signed for development"
    )
    push_fcm_credentials_file: Path | None = Field(
        None, description="The JSON file of a Firebase service account; unset: no push by Firebase"
    )
    push_fcm_url: Origin = Field(
        "https://fcm.googleapis.com", description="Firebase Cloud Messaging; tests use a server of their own"
    )
    push_ca_file: Path | None = Field(None, description="CA certificates that pushes trust in addition to the system's")
    push_timeout_seconds: Annotated[float, Field(gt=0, le=50)] = Field(
        10, description="How long a push service may take to answer"
    )
    push_confirm_seconds: Seconds = Field(
        10, description="Time for a device with a session to confirm an activity; then it is pushed as well"
    )
    push_silence_seconds: Seconds = Field(
        900, description="How long a device that was pushed may be silent before it is pushed once more"
    )

    # Tokens
    signing_key_file: Path | None = Field(None, description="Buzz's own signing key; unset: in the data directory")
    jwks: str | None = Field(None, description="The identity provider's keys: a file or an https URL")
    jwt_issuer: str | None = Field(None, description="The issuer (iss) of the identity provider's tokens")
    jwt_audience: str | None = Field(None, description="The audience (aud) that its tokens must have")
    jwt_person_claim: ClaimPath = Field(
        "sub",
        description="The claim that holds the person's id; a dot leads into an object, as in buzz.person_id, unless a "
        "backslash stands before it",
    )
    jwt_client_claim: ClaimPath | None = Field(
        None, description="The claim that a token without aud must have instead, e.g. client_id; unset: aud is required"
    )
    jwt_client_ids: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)] = Field(
        (), description="The values accepted in that claim, separated by commas; unset: BUZZ_JWT_AUDIENCE"
    )

    # Signing in to the web app
    oidc_client_id: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None, description="The web app's client id at the identity provider; unset: people can't sign in there"
    )
    oidc_issuer: Annotated[str, AfterValidator(_web_url)] | None = Field(
        None, description="The issuer at which people sign in to the web app; unset: BUZZ_JWT_ISSUER"
    )
    oidc_scope: Annotated[str, Field(pattern=r"^openid( [\x21\x23-\x5b\x5d-\x7e]+)*$", max_length=1_000)] = Field(
        "openid profile", description="The scopes that the web app asks for, openid first, separated by spaces"
    )
    oidc_audience: Annotated[str, Field(min_length=1, max_length=1_000)] | None = Field(
        None, description="The audience that the web app asks for, where a provider needs that (Auth0); unset: none"
    )

    retention_days: Annotated[int, Field(ge=1, le=36_500)] | None = Field(
        None, description="Days after which the text of an activity is deleted, but not its id; unset: never"
    )

    # Monitoring
    metrics_port: Port | None = Field(
        None, description="A separate port for /metrics, /healthz and /readyz; unset: none"
    )
    metrics_host: str | None = Field(None, description="Address of that port; unset: BUZZ_HOST")
    traces: Traces = Field(
        Traces.OFF, description="off, or otlp: export spans by OTLP over HTTP, as OpenTelemetry's OTEL_… variables say"
    )
    log_level: LogLevel = Field(LogLevel.INFO, description="debug, info, warning or error")
    log_format: LogFormat | None = Field(None, description="json or text; unset: json in production")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the given values and the environment: to ask a file ``.env``, which is none, takes as long again."""
        return init_settings, env_settings

    @model_validator(mode="after")
    def _provider_is_whole(self) -> Self:
        if self.jwks:
            self._need("jwt_issuer", "jwt_audience", why="with BUZZ_JWKS, tokens are checked against them")
        return self

    @model_validator(mode="after")
    def _sign_in_is_whole(self) -> Self:
        if self.oidc_client_id:
            self._need("jwks", why="with BUZZ_OIDC_CLIENT_ID, the web app brings the provider's tokens")
        return self

    @model_validator(mode="after")
    def _twilio_is_whole(self) -> Self:
        if self.number_provider == "twilio":
            needed = ("twilio_account_sid", "twilio_auth_token", "public_url")
            self._need(*needed, why="with BUZZ_NUMBER_PROVIDER=twilio, Buzz buys numbers")
        return self

    @model_validator(mode="after")
    def _apns_is_whole(self) -> Self:
        needed = ("push_apns_key_file", "push_apns_key_id", "push_apns_team_id", "push_apns_topics")
        if any(getattr(self, name) for name in needed):
            self._need(*needed, why="push to Apple devices needs all four")
        return self

    @model_validator(mode="after")
    def _api_key_is_whole(self) -> Self:
        if self.twilio_api_key_sid or self.twilio_api_key_secret:
            needed = ("twilio_api_key_sid", "twilio_api_key_secret", "twilio_account_sid")
            self._need(*needed, why="making voice tokens needs all three")
        return self

    def _need(self, *names: str, why: str) -> None:
        """Raise ValueError that names those of these settings that are unset, as they are called in the environment."""
        missing = [PREFIX + name.upper() for name in names if not getattr(self, name)]
        if missing:
            listed = " and ".join(part for part in (", ".join(missing[:-1]), missing[-1]) if part)
            raise ValueError(f"{listed} should be set too: {why}")

    @property
    def development(self) -> bool:
        return self.mode is Mode.DEVELOPMENT

    @property
    def number_source(self) -> NumberSource:
        """Where a person's number comes from when the pool has no free one."""
        return "fictional" if self.development and self.number_provider == "pool" else self.number_provider

    @property
    def signing_key_path(self) -> Path:
        """The path of Buzz's own signing key. Several nodes of one cluster share the file."""
        return self.signing_key_file or self.data_dir / "signing-key.pem"

    @property
    def vapid_key_path(self) -> Path | None:
        """The path of the key of Web Push; None: there is no Web Push."""
        return self.push_vapid_key_file or (self.data_dir / "vapid-key.pem" if self.development else None)
