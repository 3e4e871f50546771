"""Functions that fail, for databend-udf's own server and for ours."""

import sys

from databend_udf import UDFServer, udf

number = udf(input_types=["INT"], result_type="INT", io_threads=1)


class Unlucky(LookupError):
    pass


class Missing(KeyError):
    pass


@number
def value_error(a):
    raise ValueError("bad value")


@number
def unicode_error(a):
    return b"\xff".decode()


@number
def type_error(a):
    return a + "x"


@number
def key_error(a):
    return {}[a]


@number
def own_key_error(a):
    raise Missing(a)


@number
def own_lookup_error(a):
    raise Unlucky(a)


@number
def index_error(a):
    return [][a]


@number
def zero_division(a):
    return a // 0


@number
def overflow_error(a):
    return int(1e308 * 10)


@number
def os_error(a):
    return open("/nowhere/at/all")


@number
def not_implemented(a):
    raise NotImplementedError("later")


@number
def runtime_error(a):
    raise RuntimeError("no")


@number
def text_for_a_number(a):
    return "text"


@number
def too_large(a):
    return 1 << 40


FUNCTIONS = [
    value_error,
    unicode_error,
    type_error,
    key_error,
    own_key_error,
    own_lookup_error,
    index_error,
    zero_division,
    overflow_error,
    os_error,
    not_implemented,
    runtime_error,
    text_for_a_number,
    too_large,
]

if __name__ == "__main__":
    server = UDFServer(sys.argv[1])
    for function in FUNCTIONS:
        server.add_function(function)
    print("ready", flush=True)
    server.serve()
