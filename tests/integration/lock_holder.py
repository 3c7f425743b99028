"""A process that holds a lock, through the JVM of the test: says so, and what check finds.

python lock_holder.py TOPIC LEASE_SECONDS, with the gateway's port and secret in the environment
and the catalog's properties on the first line of stdin; each further line asks for a check.
"""

import json
import sys

from pyspark.java_gateway import launch_gateway

from lakehouse.errors import LakehouseError
from lakehouse.locks.s3_object import S3Object
from lakehouse.locks.writer_lock import WriterLock

topic, lease = sys.argv[1:]
stored = S3Object(launch_gateway().jvm, json.loads(input()), f"locks/{topic}.json")
with WriterLock(stored, topic, float(lease)) as lock:
    print("held", flush=True)
    for _ in sys.stdin:
        try:
            lock.check()
            print("held", flush=True)
        except LakehouseError as error:
            print(error, flush=True)
