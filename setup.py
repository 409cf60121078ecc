"""The native core: one Cython module for Python's stable ABI (PEP 384), built with a C compiler alone."""

from Cython.Build import cythonize
from setuptools import Extension, setup

core = Extension(
    "cdcd.binlog.core.native",
    ["cdcd/binlog/core/native.pyx"],
    define_macros=[("Py_LIMITED_API", "0x030B0000"), ("CYTHON_LIMITED_API", "1")],
    py_limited_api=True,
    extra_compile_args=["-O3", "-fno-strict-aliasing", "-Wall", "-Wno-unused-function"],
)

setup(
    ext_modules=cythonize([core], compiler_directives={"language_level": 3}),
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
