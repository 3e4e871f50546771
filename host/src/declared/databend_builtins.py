"""The functions that every server of databend_udf has."""


def builtin_echo(a):
    return a


def builtin_healthy():
    return 1
