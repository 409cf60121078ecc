"""Real MySQL, ZooKeeper and Kafka servers as plain processes, for the demo, the tests and the benchmarks.

Standard library only: it runs before any virtual environment exists. `python3 deploy/stack --help` is the command line,
`from deploy.stack import Stack` the same for Python. It is test equipment, not a way to run servers in production.
"""

from deploy.stack.endpoints import Endpoints, KafkaEndpoint, MysqlEndpoint, ZookeeperEndpoint
from deploy.stack.home import Home, StackError
from deploy.stack.kafka import KafkaSettings
from deploy.stack.mysql import MysqlSettings
from deploy.stack.stack import Stack, sweep
from deploy.stack.zookeeper import ZookeeperSettings

__all__ = [
    "Endpoints",
    "Home",
    "KafkaEndpoint",
    "KafkaSettings",
    "MysqlEndpoint",
    "MysqlSettings",
    "Stack",
    "StackError",
    "ZookeeperEndpoint",
    "ZookeeperSettings",
    "sweep",
]
