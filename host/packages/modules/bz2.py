"""Takes the place of a module that the sandbox does not have, for packages that import it in any case."""

__all__ = ["BZ2File", "BZ2Compressor", "BZ2Decompressor", "open", "compress", "decompress"]


def _missing(*args, **kwargs):
    raise OSError("bz2 is not in the sandbox")


open = compress = decompress = _missing


class BZ2File:
    __init__ = _missing


class BZ2Compressor:
    __init__ = _missing


class BZ2Decompressor:
    __init__ = _missing
