"""Databend's engine inside this process, with functions that Vivarium serves."""

import pathlib
import tempfile

import databend

from service import FLIGHT
from workers import Workers

TENANT = "acme"
ENDPOINT = f"http://{FLIGHT}"

CONFIG = """
[query]
tenant_id = "{tenant}"
cluster_id = "tests"
warehouse_id = "tests"
enable_udf_server = true
udf_server_allow_insecure = true
udf_server_allow_list = [{allowed}]
[log]
level = "ERROR"
[log.file]
on = false
[meta]
embedded_dir = "{folder}/meta"
[storage]
type = "fs"
allow_insecure = true
[storage.fs]
data_path = "{folder}/data"
"""


class Engine:
    """One session. There can be one engine in a process."""

    def __init__(self, *endpoints):
        folder = tempfile.mkdtemp(prefix="vivarium-databend-")
        path = pathlib.Path(folder, "query.toml")
        allowed = ", ".join(f'"{endpoint}"' for endpoint in (ENDPOINT, *endpoints))
        path.write_text(CONFIG.format(tenant=TENANT, allowed=allowed, folder=folder))
        databend.init_service(config=str(path))
        self.context = databend.SessionContext(tenant=TENANT)
        self.workers = Workers(TENANT)

    def rows(self, sql):
        """The result as a list of tuples of Arrow's Python values."""
        batches = self.context.sql(sql).to_py_arrow()
        return [row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns))]

    def value(self, sql):
        ((value,),) = self.rows(sql)
        return value

    def run(self, sql):
        self.context.sql(sql).collect()

    def define(self, name, code, handler, parameters, result, spellings=None):
        """Provisions a function as the engine does, and creates it as a server's function. `parameters` and
        `result` are types of SQL; `spellings` how the engine spells them to its control plane."""
        inputs, output = spellings or (parameters, result)
        answer = self.workers.define(name, code, handler, inputs, output)
        headers = ", ".join(f"'{key}' = '{value}'" for key, value in answer.headers.items())
        self.create(name, handler, parameters, result, answer.endpoint, f"HEADERS = ({headers})")

    def create(self, name, handler, parameters, result, endpoint, headers=""):
        self.run(
            f"CREATE OR REPLACE FUNCTION {name} ({', '.join(parameters)}) RETURNS {result} LANGUAGE python "
            f"HANDLER = '{handler}' {headers} ADDRESS = '{endpoint}'"
        )
