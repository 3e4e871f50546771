"""What is said about the parts of pyarrow that are not here."""


def missing(name):
    return (
        f"{name} is not available: pyarrow itself is not in the sandbox, only its functions that make "
        "types; a vectorized function gets vivarium.Column objects instead"
    )


class Absent(type):
    """The class of classes that can be named, in hints and `isinstance`, but not used."""

    def __call__(cls, *arguments, **options):
        if cls.__module__.startswith("pyarrow"):
            raise ImportError(missing(f"{cls.__module__}.{cls.__name__}"))
        return super().__call__(*arguments, **options)

    def __getattr__(cls, name):
        if name.startswith("__") or not cls.__module__.startswith("pyarrow"):
            raise AttributeError(name)
        raise AttributeError(missing(f"{cls.__module__}.{cls.__name__}.{name}"))
