"""databend-udf's server with our functions: `native_server.py ADDRESS IO_THREADS`; 0 leaves its default (32).

Which version it is depends on PYTHONPATH. Prints a line when it is about to listen.
"""

import sys

from databend_udf import UDFServer, udf

from functions import cases


def main():
    address, threads = sys.argv[1], int(sys.argv[2])
    server = UDFServer(address)
    for case in cases(1):
        options = {"io_threads": threads} if threads else {}
        if case.batch_mode:
            options["batch_mode"] = True
        decorate = udf(input_types=case.input_types, result_type=case.result_type, **options)
        server.add_function(decorate(case.function))
    print("ready", flush=True)
    server.serve()


if __name__ == "__main__":
    main()
