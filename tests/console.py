"""The `console` blocks of the documentation, run as a reader would run them: one after the other, in one place.

What a block shows is compared with what its commands print: each shown line has to come, in this order. `…` stands for
anything, a number for any number (with its unit), a UUID for any.
"""

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.rig.process import plain_environment, until
from tests.monitoring import ROOT

BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
FOLLOWED = re.compile(r"\bcdcd run\b|--watch\b")
"""These go on until they are stopped: what they show is waited for, and they run on beside what comes next."""
LOOKED = re.compile(r"^cdcctl (get|describe|top)\b")
"""These are repeated until what they show has come about."""
READY = re.compile(r"instance\.acquired|server\.registered")
ASKING = re.compile(r"\bposition set\b")
QUESTION = re.compile(r".*\[y/N\]: y$")
SAMPLES = re.compile(
    r"(?P<any>[ \t]*…)|(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}-(?=…))"
    r"|(?P<number>\d+(?:\.\d+)*(?:[kMGsmhd]\b)?)|(?P<space>[ \t]+)"
)
MEANING = {"any": ".*", "uuid": "[0-9a-f-]+", "number": r"\d+(?:\.\d+)*[kMGsmhd]?", "space": r"[ \t]+"}
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a page, and the lines that are shown beneath it."""

    text: str
    shown: tuple[str, ...]


def fenced(page: str, language: str) -> list[str]:
    """The contents of all code blocks of `page` (a path in the repository) in that language."""
    found = BLOCK.findall((ROOT / page).read_text())
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, name, text in found if name == language]


def commands(block: str) -> Iterator[Command]:
    """A prompt is what the block's first line begins with: `$ ` or, of root, `# `."""
    prompt = block[:2]
    for part in re.split(rf"^{re.escape(prompt)}", block, flags=re.MULTILINE)[1:]:
        text, _, shown = part.replace("\\\n", "").partition("\n")
        yield Command(text, tuple(line for line in shown.splitlines() if line and not line.startswith("…")))


def pattern(line: str) -> re.Pattern[str]:
    """What a shown line stands for."""
    parts, end = [], 0
    for found in SAMPLES.finditer(line):
        parts += [re.escape(line[end : found.start()]), MEANING[str(found.lastgroup)]]
        end = found.end()
    return re.compile("".join([*parts, re.escape(line[end:])]))


def missing(shown: tuple[str, ...], printed: str) -> str | None:
    """The first of the shown lines that was not printed behind the one before it."""
    lines = iter(printed.splitlines())
    return next((each for each in shown if not any(pattern(each).fullmatch(line.rstrip()) for line in lines)), None)


class Reader:
    """Somebody at a shell in `folder`, whose exports and folder last from one command to the next.

    `path`: folders of commands. `replaced`: what stands on the pages -> what it is here (addresses, paths). `left`: whether a
    command of a page is not run.
    """

    def __init__(
        self,
        folder: Path,
        path: str,
        replaced: Mapping[str, str],
        left: Callable[[str, str], bool],
        environment: Mapping[str, str],
    ) -> None:
        self._folder, self._replaced, self._left = folder, replaced, left
        self._state = folder / ".state"
        self._state.touch()
        kept = {name: value for name, value in plain_environment().items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        ours = {"PATH": f"{path}:{os.environ['PATH']}", "HOME": str(folder), "NO_COLOR": "1", "COLUMNS": "160"}
        self._environment = kept | ours | dict(environment)
        self._running: list[subprocess.Popen[bytes]] = []
        self._played: dict[str, set[int]] = {}

    def here(self, text: str) -> str:
        for shown, real in self._replaced.items():
            text = text.replace(shown, real)
        return text

    def write(self, name: str, text: str, mode: int = 0o600) -> None:
        """A file as a page shows it."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.here(text))
        path.chmod(mode)

    def play(self, page: str, *numbers: int) -> None:
        """Run these of the page's `console` blocks; all, if none is named."""
        blocks = fenced(page, "console")
        for number in numbers or range(len(blocks)):
            self._played.setdefault(page, set()).add(number)
            for command in commands(blocks[number]):
                if not self._left(page, command.text):
                    self.run(command)

    def run(self, command: Command) -> None:
        """Run it and compare; what goes on by itself is left running."""
        if FOLLOWED.search(command.text):
            self._follow(command)
            return
        deadline = time.monotonic() + SECONDS
        while True:
            status, printed = self._printed(command)
            lacking = missing(self._shown(command), printed)
            if lacking is None or not LOOKED.match(command.text) or time.monotonic() > deadline:
                break
        assert lacking is None, f"$ {command.text}\nprints no line like\n{lacking}\nbut\n{printed[-3000:]}"
        failing = any(line.startswith("error:") for line in command.shown)
        assert (status != 0) is failing, f"$ {command.text}\nends with {status}:\n{printed}"

    def _shown(self, command: Command) -> tuple[str, ...]:
        return tuple(self.here(line) for line in command.shown if not QUESTION.match(line))

    def _script(self, command: Command) -> list[str]:
        text = ASKING.sub(r"\g<0> --yes", self.here(command.text))  # nobody is at a terminal to be asked
        state = shlex.quote(str(self._state))
        return ["bash", "-c", f'. {state}; cd "$PWD"\n{text}\nstatus=$?; export -p >{state}; exit $status']

    def _printed(self, command: Command) -> tuple[int, str]:
        done = subprocess.run(
            self._script(command),
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        return done.returncode, done.stdout

    def _follow(self, command: Command) -> None:
        out = self._folder / f"followed-{len(self._running)}.out"
        with out.open("wb") as stream:
            process = subprocess.Popen(
                self._script(command),
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append(process)

        def shows() -> bool:
            printed = out.read_text()
            assert process.poll() is None, f"$ {command.text}\nended with {process.returncode}:\n{printed}"
            wanted = command.shown or "cdcd run" not in command.text or READY.search(printed)
            return bool(wanted) and bool(printed) and missing(self._shown(command), printed) is None

        try:
            until(shows, command.text, SECONDS)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{out.read_text()}") from None

    def close(self) -> None:
        """Stop what runs."""
        for process in reversed(self._running):
            try:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(SECONDS)
                until(lambda pid=process.pid: not _alive(pid), "its processes are gone", SECONDS)  # type: ignore[misc]
            except ProcessLookupError:
                process.wait()

    def all_played(self) -> bool:
        """Whether no block of a page that was begun is left out."""
        return all(numbers == set(range(len(fenced(page, "console")))) for page, numbers in self._played.items())


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
