from typing import NamedTuple

class Id(NamedTuple):
    scheme: str
    id: str

class ACL(NamedTuple):
    perms: int
    id: Id

class Permissions:
    READ: int
    WRITE: int
    CREATE: int
    DELETE: int
    ADMIN: int
    ALL: int

CREATOR_ALL_ACL: list[ACL]
OPEN_ACL_UNSAFE: list[ACL]

def make_digest_acl(username: str, password: str, *, all: bool = False) -> ACL: ...  # noqa: A002 - kazoo's name
