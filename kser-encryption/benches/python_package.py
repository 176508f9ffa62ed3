"""What encode and decode of the Python package kser-crypto cost, with a message of 300 bytes: python python_package.py"""
import base64
import os
import time

from kser.schemas import Message
from kser_crypto.schemas import CryptoSchema

schema = CryptoSchema(context={"secretbox_key": base64.b64encode(os.urandom(32)).decode()})
message = Message(uuid="872c3be0-51ac-457f-a4d9-12c2f7667b80", entrypoint="dice.DiceRoll", params={"text": "x"})
message.params["text"] = "x" * (301 - len(message.dumps()))
assert len(message.dumps()) == 300, len(message.dumps())
envelope = schema.encode(message)
for name, call in [("encode", lambda: schema.encode(message)), ("decode", lambda: schema.decode(envelope))]:
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(1000):
            call()
        best = min(best, (time.process_time() - began) / 1000)
    print(f"{name}: {best * 1e6:.1f} us")
