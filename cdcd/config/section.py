"""What the sections of the settings share: how strict they are, and fields that several of them have."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema, model_validator

from cdcd.config.network import parse_endpoint
from cdcd.config.problems import broken_rule

NO_PASSPHRASE = ""
"""For private keys: where one is asked for, the key is refused. Without it OpenSSL would ask on the terminal, and wait."""


class Section(BaseModel):
    """A section of the settings: as strict as a definition's, but text is converted: the environment is text."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def split_list(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def with_port(text: str) -> str:
    parse_endpoint(text)
    return text


AbsolutePath = Annotated[
    Path, AfterValidator(_absolute), WithJsonSchema({"type": "string", "pattern": "^/", "title": "absolute path"})
]


class ClientTls(Section):
    """Certificates for a connection on which the server's are always checked."""

    ca: AbsolutePath | None = None
    """File of certificate authorities; without one those of the system are trusted."""
    cert: AbsolutePath | None = None
    """Client certificate."""
    key: AbsolutePath | None = None
    """Its private key, without a passphrase."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise broken_rule("cert" if self.cert is None else "key", "is required: certificate and key go together")
        return self
