"""A caller in Python: generated stubs, grpcio, nothing of this project's code.

usage: client.py MEMORY_ADDRESS
Stores a memory, finds it, and reads the details of an error. Prints one JSON object.
"""

import json
import sys

import grpc
from google.protobuf import any_pb2  # noqa: F401  (registers the type for error details)
from mahavishnu.memory.v1 import memory_pb2, memory_service_pb2, memory_service_pb2_grpc
from mahavishnu.type.v1 import memory_type_pb2


def main() -> None:
    with grpc.insecure_channel(sys.argv[1]) as channel:
        memory = memory_service_pb2_grpc.MemoryServiceStub(channel)
        content = "The python caller keeps its notes in a lighthouse."
        stored = memory.StoreMemory(
            memory_service_pb2.StoreMemoryRequest(
                memory=memory_pb2.Memory(
                    content=content, memory_type=memory_type_pb2.MEMORY_TYPE_AGENT, agent_id="python"
                )
            ),
            timeout=20,
        )
        bulk = list(
            memory.BulkStore(
                memory_service_pb2.BulkStoreRequest(
                    sequence=number,
                    memories=[
                        memory_pb2.Memory(
                            content=f"python bulk note {number}",
                            memory_type=memory_type_pb2.MEMORY_TYPE_AGENT,
                            agent_id="python",
                        )
                    ],
                )
                for number in range(1, 6)
            )
        )
        answer = memory.UnifiedSearch(
            memory_service_pb2.UnifiedSearchRequest(query="who keeps notes in a lighthouse?", agent_id="python"),
            timeout=20,
        )
        try:
            memory.GetMemory(memory_service_pb2.GetMemoryRequest(id="no-such-id"), timeout=20)
            code = "OK"
        except grpc.RpcError as error:
            code = error.code().name
        print(
            json.dumps(
                {
                    "id": stored.memory.id,
                    "bulk": sorted(one.sequence for one in bulk),
                    "found": [one.id for one in answer.results][:1],
                    "score": answer.results[0].score if answer.results else None,
                    "missing": code,
                }
            )
        )


main()
