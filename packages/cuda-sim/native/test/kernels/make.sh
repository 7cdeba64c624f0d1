#!/bin/sh
# Compiles the test kernels to PTX with nvcc 13. The .ptx files are committed, so that the tests need no nvcc.
set -e
cd "$(dirname "$0")"
for source in *.cu; do
  nvcc -std=c++17 -arch=compute_80 -lineinfo -ptx "$source" -o - | sed 's|"[^"]*/\([^/"]*\.[a-z]*\)"|"\1"|' >"${source%.cu}.ptx"
done
