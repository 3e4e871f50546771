"""What Databend's engine does with workers: the calls of `resourceproto.WorkerService`."""

import grpc

from databend_script import script
from service import PROVISIONING, resource_pb2 as messages, resource_pb2_grpc as stubs


class Workers:
    """One connection of one tenant."""

    def __init__(self, tenant="tests", address=PROVISIONING):
        self.tenant = tenant
        self.channel = grpc.insecure_channel(address)
        self.stub = stubs.WorkerServiceStub(self.channel)
        self.metadata = [("x-databend-tenant", tenant), ("x-databend-query-id", "q-1")]

    def create(self, name, kind="", text="", if_not_exists=True, **more):
        request = messages.CreateWorkerRequest(
            tenant_id=self.tenant, name=name, if_not_exists=if_not_exists, type=kind, script=text, **more
        )
        return self.stub.CreateWorker(request, metadata=self.metadata, timeout=10)

    def define(self, name, code, handler, input_types, result_type, **parts):
        """What the engine does for each occurrence of a function in a query."""
        return self.create(name, "udf", script(code, handler, input_types, result_type, **parts))

    def alter(self, name, **changes):
        request = messages.AlterWorkerRequest(tenant_id=self.tenant, name=name, **changes)
        return self.stub.AlterWorker(request, metadata=self.metadata, timeout=10).worker

    def drop(self, name, if_exists=False):
        request = messages.DropWorkerRequest(tenant_id=self.tenant, name=name, if_exists=if_exists)
        return self.stub.DropWorker(request, metadata=self.metadata, timeout=10)

    def list(self):
        request = messages.ListWorkersRequest(tenant_id=self.tenant)
        return list(self.stub.ListWorkers(request, metadata=self.metadata, timeout=10).workers)

    def close(self):
        self.channel.close()
