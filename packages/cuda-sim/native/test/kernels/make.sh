#!/bin/sh
# Compiles the test kernels to PTX with nvcc 13. The .ptx files are committed, so that the tests need no nvcc.
set -e
cd "$(dirname "$0")"
# Up to sm_90 and from sm_100 on nvcc 13 uses two versions of its compiler, whose PTX looks different.
for arch in 80 100; do
  for source in *.cu; do
    nvcc -std=c++17 -arch=compute_$arch -lineinfo -ptx "$source" -o - | sed 's|"[^"]*/\([^/"]*\.[a-z]*\)"|"\1"|' >"${source%.cu}.sm_$arch.ptx"
  done
done
