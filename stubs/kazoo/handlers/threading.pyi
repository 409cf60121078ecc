import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

_Answer = TypeVar("_Answer")

class KazooTimeoutError(Exception): ...

class AsyncResult(Generic[_Answer]):
    def get(self, block: bool = True, timeout: float | None = None) -> _Answer: ...

class SequentialThreadingHandler:
    def create_connection(self, *args: Any, **options: Any) -> Any: ...
    def spawn(self, func: Callable[..., Any], *args: Any, **options: Any) -> threading.Thread: ...
