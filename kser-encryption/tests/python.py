"""Opens each envelope with the package kser-crypto, and writes the message into an envelope of its own.

Reads lines of JSON with a key and an envelope; writes lines of JSON with the message and the new envelope.
"""
import json
import sys

from kser_crypto.schemas import CryptoSchema

for line in sys.stdin:
    asked = json.loads(line)
    schema = CryptoSchema(context={"secretbox_key": asked["key"]})
    message = schema.decode(asked["envelope"])
    plain = json.loads(message.MARSHMALLOW_SCHEMA.dumps(message))
    print(json.dumps({"plain": plain, "envelope": schema.encode(message)}))
