"""An operator's order to go on from another position."""

from pydantic import TypeAdapter, ValidationError

from cdcd.config.start import Start
from cdcd.errors import Finding, FindingError
from cdcd.fleet.nodes import Request

_START: TypeAdapter[Start] = TypeAdapter(Start)


def start_of(request: Request) -> Start:
    """Where the order says to go on; it may be what a definition's `start` may be.

    FindingError (operator) for anything else: going on from the old position is not what was asked for.
    """
    try:
        return _START.validate_python(request.position)
    except ValidationError as error:
        told = "; ".join(str(each["msg"]) for each in error.errors())
        raise FindingError(
            Finding(
                "position-request-invalid",
                "operator",
                f"the position that {request.by} ordered ({request.position!r:.200}) is none: {told}",
                "Order another one with cdcctl position set, or delete the request's node; then cdcctl resume",
            )
        ) from None
