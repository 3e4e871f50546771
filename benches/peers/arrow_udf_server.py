"""arrow-udf's server with our functions: `arrow_udf_server.py ADDRESS`.

Which version it is depends on PYTHONPATH. Prints a line when it is about to listen.
"""

import sys

from arrow_udf import UdfServer, udf

from functions import cases

# Its names of types where they are not ours.
TYPES = {"DOUBLE": "DOUBLE PRECISION"}


def main():
    server = UdfServer(location=sys.argv[1])
    for case in cases(1):
        inputs = [TYPES.get(name, name) for name in case.input_types]
        result = TYPES.get(case.result_type, case.result_type)
        server.add_function(udf(input_types=inputs, result_type=result, batch=case.batch_mode)(case.function))
    print("ready", flush=True)
    server.serve()


if __name__ == "__main__":
    main()
