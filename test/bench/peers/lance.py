"""LanceDB in this process: loads the vectors of a folder, searches them, prints figures as JSON.

usage: lance.py FOLDER DIMENSION LIMIT SEARCHES CALLERS
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import lancedb
import numpy
import pyarrow

folder, dimension, limit, searches, callers = sys.argv[1], *map(int, sys.argv[2:6])
vectors = numpy.fromfile(f"{folder}/vectors.f32", dtype="<f4").reshape(-1, dimension)
queries = numpy.fromfile(f"{folder}/queries.f32", dtype="<f4").reshape(-1, dimension)
with open(f"{folder}/contents.json", encoding="utf-8") as file:
    contents = json.load(file)
with open(f"{folder}/truth.json", encoding="utf-8") as file:
    truth = json.load(file)

started = time.perf_counter()
values = pyarrow.array(vectors.reshape(-1), pyarrow.float32())
rows = pyarrow.table(
    {
        "id": [str(i) for i in range(len(contents))],
        "content": contents,
        "vector": pyarrow.FixedSizeListArray.from_arrays(values, dimension),
    }
)
table = lancedb.connect(f"{folder}/lance").create_table("documents", rows)
table.create_index(metric="cosine", vector_column_name="vector", index_type="IVF_HNSW_SQ")
load = len(contents) / (time.perf_counter() - started)


def search(i: int):
    query = queries[i % len(queries)]
    return (
        table.search(query)
        .distance_type("cosine")
        .limit(limit)
        .refine_factor(4)
        .select(["id", "content"])
        .to_list()
    )


found = [[row["id"] for row in search(i)] for i in range(len(queries))]
hits = sum(len(set(own) & set(right)) for own, right in zip(found, truth))
recall = hits / (limit * len(queries))

times = []
for i in range(searches):
    started = time.perf_counter()
    search(i)
    times.append((time.perf_counter() - started) * 1000)
one = 1000 * len(times) / sum(times)

started = time.perf_counter()
with ThreadPoolExecutor(callers) as pool:
    list(pool.map(search, range(2 * searches)))
many = 2 * searches / (time.perf_counter() - started)

print(
    json.dumps(
        {
            "load": load,
            "recall": recall,
            "p50": sorted(times)[len(times) // 2],
            "one": one,
            "many": many,
        }
    )
)
