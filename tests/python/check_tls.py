"""Both services over TLS, with the certificates that the Rust test made: arguments are its folder and what to try."""

import json
import os
import pathlib
import sys

import grpc
import pyarrow as pa
import pyarrow.flight as flight

from service import FLIGHT, PROVISIONING, specification, udf_pb2, udf_pb2_grpc

folder = pathlib.Path(sys.argv[1])
identities = {name: [(folder / f"{name}.{kind}").read_bytes() for kind in ("pem", "key")] for name in sys.argv[2:]}
authority = (folder / "ca.pem").read_bytes()
BATCH = pa.RecordBatch.from_arrays([pa.array([1, 2], pa.int64())], names=["arg1"])


def provision(tenant, identity):
    certificate, key = identity or (None, None)
    credentials = grpc.ssl_channel_credentials(authority, key, certificate)
    with grpc.secure_channel(PROVISIONING, credentials) as channel:
        spec = specification("def f(x): return x * 3", "f", ["BIGINT NULL"], "BIGINT NULL")
        request = udf_pb2.ApplyUdfResourceRequest(spec=json.dumps(spec))
        stub = udf_pb2_grpc.UdfServiceStub(channel)
        return stub.ApplyUdfResource(request, metadata=[("x-databend-tenant", tenant)], timeout=60)


def call(answer, identity):
    certificate, key = identity or (None, None)
    location = answer.endpoint.replace("https://", "grpc+tls://")
    with flight.connect(location, tls_root_certs=authority, cert_chain=certificate, private_key=key) as client:
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        options = flight.FlightCallOptions(timeout=60, headers=headers)
        writer, reader = client.do_exchange(flight.FlightDescriptor.for_path("f"), options)
        with writer:
            writer.begin(BATCH.schema)
            writer.write_batch(BATCH)
            writer.done_writing()
            return reader.read_all().column(0).to_pylist()


def refused(code, text, tenant, identity):
    try:
        provision(tenant, identity)
    except grpc.RpcError as error:
        assert error.code() == code and text in error.details(), error
    else:
        raise AssertionError(f"{tenant} was not refused")


engine = identities["engine"]
answer = provision("acme", engine)
assert answer.endpoint == f"https://{FLIGHT}", answer.endpoint
assert call(answer, engine) == [3, 6]
refused(grpc.StatusCode.PERMISSION_DENIED, "(dns:engine.internal) is not for tenant `globex`", "globex", engine)
# Refused in the handshake: there is nobody to tell why.
refused(grpc.StatusCode.UNAVAILABLE, "", "acme", None)
refused(grpc.StatusCode.UNAVAILABLE, "", "acme", identities["stranger"])

# A certificate that is replaced while connections come and go.
for name in ("pem", "key"):
    os.replace(folder / f"next.{name}", folder / f"server.{name}")
for _ in range(20):
    assert call(provision("acme", engine), engine) == [3, 6]
