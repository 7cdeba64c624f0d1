"""Reads a GGUF file with llama.cpp's own Python package: fields and tensors, dequantised, to a safetensors file.

    python3 readGguf.py FILE.gguf OUT.safetensors
"""
import json
import sys

import numpy as np
from gguf import GGUFReader, dequantize
from safetensors.numpy import save_file

reader = GGUFReader(sys.argv[1])
fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
tensors = {t.name: np.ascontiguousarray(dequantize(t.data, t.tensor_type), dtype=np.float32) for t in reader.tensors}
save_file(tensors, sys.argv[2])
print(json.dumps(fields, default=str))
