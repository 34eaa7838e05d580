"""Kafka clusters as streams reach them: brokers, credentials, TLS, and what an error means."""

from __future__ import annotations

import os
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from daskflow.core.errors import DataError, Problem, SettingsError
from daskflow.core.settings import Settings


class KafkaCluster(Settings):
    """What source and sink say of their cluster.

    Attributes
    ----------
    brokers : list of str
        ``host:port`` of some brokers, which name the others; in an address with commas between them.
    topic : str
        The topic.
    tls : bool
        Whether connections are encrypted; ``kafka+tls://`` says so in an address.
    ca : str or None
        File with the authority that has signed the brokers' certificates, where the system does not know it.
    user, password : str or None
        For SASL; the password is ``env:NAME``, the environment variable that holds it. They go together.
    mechanism : str
        Of SASL.
    """

    brokers: tuple[str, ...] = Field(min_length=1)
    topic: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")
    tls: bool = False
    ca: str | None = None
    user: str | None = None
    password: str | None = Field(default=None, repr=False)
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"

    @field_validator("brokers", mode="before")
    @classmethod
    def _are_hosts(cls, value: Any) -> Any:
        """Check them without showing them, for who puts a password there should not see it in a log."""
        found = value.split(",") if isinstance(value, str) else value
        texts = (
            [one for one in found if isinstance(one, str) and _is_broker(one)]
            if isinstance(found, list | tuple)
            else []
        )
        if not texts or len(texts) < len(found):
            raise SettingsError(
                [Problem("", "should be like kafka://host:9092/topic, with user=NAME&password=env:NAME")]
            )
        return tuple(one if ":" in one else f"{one}:9092" for one in texts)

    @field_validator("password", mode="before")
    @classmethod
    def _stands_in_the_environment(cls, value: Any) -> Any:
        if value is not None and not (isinstance(value, str) and value.startswith("env:")):
            raise SettingsError([Problem("", "should name an environment variable that holds it: 'env:NAME'")])
        return value

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise SettingsError([Problem("user", "and password go together")])
        return self

    @property
    def where(self) -> str:
        """Cluster and topic, for messages."""
        return f"kafka://{','.join(self.brokers)}/{self.topic}"

    def connection(self) -> dict[str, Any]:
        """Return what consumers and producers are made with.

        Raises
        ------
        SettingsError
            When aiokafka is not installed, or the password's variable is not set.
        """
        try:
            from aiokafka.helpers import create_ssl_context
        except ImportError as error:
            raise SettingsError("Kafka needs its client: pip install 'daskflow[kafka]'") from error
        found: dict[str, Any] = {"bootstrap_servers": list(self.brokers)}
        if self.tls:
            try:
                found["ssl_context"] = create_ssl_context(cafile=self.ca)
            except OSError as error:
                raise SettingsError([Problem("ca", f"cannot be read: {error.strerror}")]) from error
        if self.password is not None:
            name = self.password.removeprefix("env:")
            if not os.environ.get(name):
                raise SettingsError([Problem("password", f"the environment variable {name} is not set")])
            found |= {"sasl_plain_username": self.user, "sasl_plain_password": os.environ[name]}
            found["sasl_mechanism"] = self.mechanism
        words = {(False, False): "PLAINTEXT", (True, False): "SSL", (False, True): "SASL_PLAINTEXT"}
        found["security_protocol"] = words.get((self.tls, self.password is not None), "SASL_SSL")
        return found


def options_of(address: str) -> tuple[dict[str, str], str]:
    """Return what the part before ``?`` of an address says, and the options after it.

    Examples
    --------
    >>> options_of("kafka+tls://one:9092,two:9092/orders?group=scores")
    ({'brokers': 'one:9092,two:9092', 'topic': 'orders', 'tls': 'true'}, 'group=scores')
    """
    place, _, options = address.partition("?")
    scheme, _, rest = place.partition("://")
    brokers, _, topic = rest.partition("/")
    own = {"brokers": brokers, "topic": topic}
    return (own | {"tls": "true"} if scheme == "kafka+tls" else own), options


def _is_broker(text: str) -> bool:
    host, _, port = text.partition(":")
    return (
        bool(host) and "@" not in text and not any(sign.isspace() for sign in text) and (not port or port.isdecimal())
    )


def passing(error: Exception, where: str) -> str:
    """Return what an error that may pass means, as a sentence; DataError for one that will not."""
    from aiokafka import errors

    name = type(error).__name__
    final = (
        errors.AuthenticationFailedError,
        errors.AuthenticationMethodNotSupported,
        errors.SaslAuthenticationFailed,
        errors.UnsupportedSaslMechanismError,
        errors.TopicAuthorizationFailedError,
        errors.GroupAuthorizationFailedError,
        errors.ClusterAuthorizationFailedError,
    )
    if isinstance(error, final):
        raise DataError(f"{where}: the cluster does not let this user in ({name}). Give user and password.") from None
    if isinstance(error, errors.KafkaConnectionError | OSError):
        return "no broker can be reached"
    if isinstance(error, errors.KafkaError) and (getattr(error, "retriable", False) or isinstance(error, RuntimeError)):
        return f"the cluster answers {name}"
    raise error
