"""Credential files on a real file system."""

import os
from pathlib import Path

import pytest

from cdcd.config.secrets import Credential, Credentials
from cdcd.errors import FindingError

CANARY = "canary-7f3a"
GOOD = (
    f'user: cdcd\npassword: {CANARY}\nhosts: [mysql-a:3306, "*.db.example.net", "[fd00::2]:3307", 10.0.*.*, "rds-?"]\n'
)


def put(folder: Path, name: str, text: str = GOOD, mode: int = 0o600) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def code_of(credentials: Credentials, name: str) -> str:
    with pytest.raises(FindingError) as caught:
        credentials.load(name)
    finding = caught.value.finding
    assert finding.kind == "operator"
    assert finding.remedy
    assert CANARY not in str(finding) + str(caught.value)
    return finding.code


@pytest.fixture
def credential(tmp_path: Path) -> Credential:
    put(tmp_path, "orders-db")
    return Credentials(tmp_path).load("orders-db")


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("mysql-a", 3306),
        ("MYSQL-A", 3306),
        ("mysql-a.", 3306),
        ("x.db.example.net", 1),
        ("fd00::2", 3307),
        ("10.0.1.2", 9),
        ("rds-1", 2),
    ],
)
def test_a_listed_host_gets_the_password(credential: Credential, host: str, port: int) -> None:
    assert credential.login_for(host, port) == ("cdcd", CANARY)


@pytest.mark.parametrize(
    ("host", "port"),
    [("mysql-a", 3307), ("mysql-a.evil.net", 3306), ("a.b.db.example.net", 1), (".db.example.net", 1), ("db.example.net", 1),
     ("fd00::2", 3306), ("10.0.1.2.evil.net", 9), ("10x0.1.2", 9), ("rds-12", 2), ("evil.net", 3306), ("x\n.db.example.net", 1)],
)  # fmt: skip
def test_another_host_does_not(credential: Credential, host: str, port: int) -> None:
    with pytest.raises(FindingError) as caught:
        credential.login_for(host, port)
    assert caught.value.finding.code == "credential-host"
    assert "mysql-a:3306" in caught.value.finding.what
    assert CANARY not in str(caught.value.finding)


def test_a_lone_star_is_any_host(tmp_path: Path) -> None:
    put(tmp_path, "any", f'user: u\npassword: {CANARY}\nhosts: ["*"]\n')
    assert Credentials(tmp_path).load("any").login_for("a.b.c", 1).password == CANARY


def test_the_log_is_told_what_to_hide(tmp_path: Path) -> None:
    put(tmp_path, "any", f'user: u\npassword: {CANARY}\nhosts: ["*"]\n')
    hidden: list[str] = []
    Credentials.of(tmp_path, {}, hide=hidden.append).load("any")
    assert hidden == [CANARY]


def test_nothing_prints_the_password(credential: Credential) -> None:
    login = credential.login_for("mysql-a", 3306)
    assert CANARY not in f"{login!r} {login} {credential!r} {credential} {vars(credential)}"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o666, 0o700, 0o604, 0o200])
def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    put(tmp_path, "orders-db", mode=mode)
    assert code_of(Credentials(tmp_path), "orders-db") == "credential-unsafe"


def test_a_read_only_file_is_fine(tmp_path: Path) -> None:
    put(tmp_path, "orders-db", mode=0o400)
    assert Credentials(tmp_path).load("orders-db").user == "cdcd"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(put(tmp_path, "orders-db"), 12345, 12345)
    assert code_of(Credentials(tmp_path), "orders-db") == "credential-unsafe"


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    put(tmp_path, "target")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "folder").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("link", "folder", "fifo"):
        assert code_of(Credentials(tmp_path), name) == "credential-unsafe"


@pytest.mark.parametrize("name", ["../target", "/etc/passwd", "..", "", "a/b", "A", "x" * 64, "a\n"])
def test_a_name_cannot_lead_elsewhere(tmp_path: Path, name: str) -> None:
    put(tmp_path, "target")
    (tmp_path / "inner").mkdir()
    assert code_of(Credentials(tmp_path / "inner"), name) == "credential-missing"


def test_one_that_does_not_exist_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(FindingError) as caught:
        Credentials(tmp_path / "a", tmp_path / "b").load("orders-db")
    assert caught.value.finding.code == "credential-missing"
    assert f"{tmp_path}/b/orders-db nor {tmp_path}/a/orders-db" in caught.value.finding.what
    assert code_of(Credentials(None), "orders-db") == "credential-missing"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is empty"),
        (CANARY, "must be a mapping"),
        (f"user: u\npassword: {CANARY}\n", "hosts: is required"),
        (f"user: u\npasswort: {CANARY}\nhosts: [a]\n", "did you mean `password`"),
        (f"user: u\npassword: [{CANARY}]\nhosts: [a]\n", "password: must be text"),
        ("user: u\npassword: 1234\nhosts: [a]\n", "password: must be text; put quotes around it"),
        (f"user: u\npassword: {CANARY}\nhosts: []\n", "hosts: must not be empty"),
        (f'user: u\npassword: {CANARY}\nhosts: ["a b"]\n', "hosts[0]: must be a host"),
        (f'user: u\npassword: {CANARY}\nhosts: ["a:b"]\n', "hosts[0]: must be a host"),
        (f'user: ""\npassword: {CANARY}\nhosts: [a]\n', "user: "),
        (f"user: u\npassword: {CANARY}: {CANARY}\nhosts: [a]\n", "line 2"),
        (f"user: u\n{CANARY}: x\npassword: x\nhosts: [a]\n", "unknown field; known are user, password, hosts"),
        (f"user: u\npassword:\n{CANARY}: 1\n{CANARY}: 2\n", "line 4, column 1: a field is given twice"),
        (f'{{"{CANARY}": 1, "{CANARY}": 2}}', "a field is given twice"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, text: str, what: str) -> None:
    put(tmp_path, "orders-db", text)
    with pytest.raises(FindingError) as caught:
        Credentials(tmp_path).load("orders-db")
    assert caught.value.finding.code == "credential-invalid"
    assert what in caught.value.finding.what
    assert CANARY not in str(caught.value.finding)
    assert caught.value.__cause__ is None


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    put(tmp_path, "orders-db", GOOD + "#" * 70_000)
    assert code_of(Credentials(tmp_path), "orders-db") == "credential-unsafe"


def test_systemds_directory_comes_first_and_is_trusted(tmp_path: Path) -> None:
    systemd, private = tmp_path / "systemd", tmp_path / "private"
    systemd.mkdir()
    private.mkdir()
    put(systemd, "orders-db", GOOD.replace("user: cdcd", "user: first"), mode=0o440)
    put(private, "orders-db")
    put(private, "other-db")
    credentials = Credentials.of(private, {"CREDENTIALS_DIRECTORY": str(systemd)})
    assert credentials.load("orders-db").user == "first"
    assert credentials.load("other-db").user == "cdcd"
    assert Credentials.of(private, {}).load("orders-db").user == "cdcd"


def test_a_folder_that_systemd_loaded(tmp_path: Path) -> None:
    """LoadCredential=cdcd:/etc/cdcd/credentials, systemd.exec(5): "the ID suffixed with _$FILENAME"."""
    put(tmp_path, "cdcd_orders-db", GOOD, mode=0o440)
    put(tmp_path, "cdcd_other-db", GOOD)
    put(tmp_path, "other-db", GOOD.replace("user: cdcd", "user: first"))
    credentials = Credentials.of(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert credentials.load("orders-db").user == "cdcd"
    assert credentials.load("other-db").user == "first"
    assert code_of(credentials, "third-db") == "credential-missing"


def test_a_certificate_may_be_readable_but_not_writable_for_others(tmp_path: Path) -> None:
    credentials = Credentials(tmp_path)
    certificate = put(tmp_path, "ca", "pem", 0o644)
    assert credentials.path("ca", secret=False) == certificate
    with pytest.raises(FindingError, match="mode 0644"):
        credentials.path("ca")
    certificate.chmod(0o664)
    with pytest.raises(FindingError, match="could change it"):
        credentials.path("ca", secret=False)
