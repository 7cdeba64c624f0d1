#!/bin/sh
# Builds and runs the C++ tests under AddressSanitizer and UBSan, for every instruction set that this machine has.
#   kernels/test/cc/run.sh [test ...]     e.g. run.sh matmul math
set -e
cd "$(dirname "$0")"
out=${OUT:-../../build/cc}
mkdir -p "$out"
flags="-std=gnu++17 -O1 -g1 -fno-math-errno -ffp-contract=off -fsanitize=address,undefined -fno-sanitize-recover=undefined -Wall -Wextra -Wno-unused-parameter -Wno-unused-function -Wno-psabi -Wno-maybe-uninitialized -Wno-uninitialized"
isas="portable"
if [ "$(uname -m)" = x86_64 ]; then
  flags="$flags -DSHAKTI_X86"
  grep -q avx2 /proc/cpuinfo && isas="$isas avx2"
  grep -q avx512bw /proc/cpuinfo && isas="$isas avx512"
fi
for test in ${*:-math matmul elementwise reduce copy random optim}; do
  for isa in ${ISAS:-$isas}; do
    case $isa in
      avx2) cpu="-mavx2 -mfma -mf16c -mbmi2" ;;
      avx512) cpu="-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mbmi2 -mprefer-vector-width=512" ;;
      *) cpu="" ;;
    esac
    sources="${test}_test.cc"
    if [ -f "../../src/ops/$test/cpu.cc" ]; then sources="$sources ../../src/ops/$test/cpu.cc ../../src/ops/$test/op.cc"; fi
    # shellcheck disable=SC2086
    ${CXX:-g++} $flags $cpu "-DSHAKTI_ISA=$isa" $sources -o "$out/$test-$isa"
    printf '%s: ' "$isa"
    "$out/$test-$isa"
  done
done
