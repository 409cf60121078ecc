"""The native extension and nothing else; `native.pyi` is its contract."""
