from typing import Any

class BinLogPacketWrapper:
    event_type: int
    def __init__(self, from_packet: Any, *args: Any) -> None: ...
