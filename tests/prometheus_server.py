"""A real Prometheus of Debian for tests, and its promtool."""

import json
import os
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from deploy.rig.process import Process, free_port, until
from deploy.stack.home import Home
from deploy.stack.programs import PROMETHEUS
from deploy.stack.stack import to_stderr
from tests.monitoring import RULES, SCRAPING

Vector = list[dict[str, Any]]


def programs() -> Path:
    """The folder of `prometheus` and `promtool`."""
    return PROMETHEUS.install(Home(), to_stderr)


def promtool(*arguments: str) -> str:
    """What it says; AssertionError with that where it finds fault."""
    done = subprocess.run(
        [str(programs() / "promtool"), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class PrometheusServer:
    """Scrapes `targets` (server -> port on the loopback) each second by the shipped configuration and evaluates the shipped rules."""

    def __init__(self, folder: Path, targets: dict[str, int], cluster: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        configuration = folder / "prometheus.yml"
        configuration.write_text(yaml.safe_dump(_faster(targets, cluster)))
        command = [
            str(programs() / "prometheus"),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self._process = Process(command, dict(os.environ), self.port, folder / "prometheus")
        until(lambda: self._process.get("/-/ready") == "Prometheus Server is Ready.\n", "Prometheus is ready")

    def query(self, expression: str) -> Vector:
        """An instant query's vector. AssertionError where Prometheus refuses it."""
        url = f"{self.url}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                body = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from None
        assert body["status"] == "success", body
        assert body["data"]["resultType"] == "vector", body
        return list(body["data"]["result"])

    def rules(self) -> list[dict[str, Any]]:
        """All rules, with what became of their last evaluation."""
        with urllib.request.urlopen(f"{self.url}/api/v1/rules", timeout=30) as answer:
            groups = json.loads(answer.read())["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def kill(self) -> None:
        self._process.kill()


def _faster(targets: dict[str, int], cluster: str) -> dict[str, Any]:
    """The shipped configuration, with the test's targets and each second instead of each quarter of a minute."""
    shipped: dict[str, Any] = yaml.safe_load(SCRAPING.read_text())
    shipped["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    shipped["rule_files"] = [str(RULES)]
    (job,) = (job for job in shipped["scrape_configs"] if job["job_name"] == "cdcd")
    # One address and several ports here, one port and several machines in a fleet.
    job["static_configs"] = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"cluster": cluster, "server": server}}
        for server, port in targets.items()
    ]
    job["relabel_configs"] = []
    shipped["scrape_configs"] = [job]
    return shipped
