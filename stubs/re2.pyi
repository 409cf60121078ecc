# What cdcd uses of google-re2, which ships no types.

class error(Exception): ...  # noqa: N801 - the library's name

class Options:
    log_errors: bool
    max_mem: int

class _Regexp:
    @property
    def pattern(self) -> str: ...
    def fullmatch(self, text: str) -> object | None: ...
    def possiblematchrange(self, maxlen: int) -> tuple[bytes, bytes]: ...

def compile(pattern: str, options: Options | None = None) -> _Regexp: ...  # noqa: A001 - the library's name
def escape(pattern: str) -> str: ...
