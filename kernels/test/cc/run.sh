#!/bin/sh
# Builds and runs the C++ tests, for every instruction set that this machine has.
#   kernels/test/cc/run.sh [asan|tsan|plain|arm64] [test ...]     e.g. run.sh matmul math
#   kernels/test/cc/run.sh sweep [function ...]                   exp, tanh, ... of all floats: minutes a function
# asan (the default): AddressSanitizer and UBSan. tsan: ThreadSanitizer, for `runtime`, the one test with threads.
# arm64: the portable kernels by a cross compiler, on an emulated CPU (Debian: g++-aarch64-linux-gnu qemu-user).
set -e
cd "$(dirname "$0")"
mode=asan
case $1 in
  asan | tsan | plain | arm64 | sweep)
    mode=$1
    shift
    ;;
esac
out=${OUT:-../../build/cc-$mode}
mkdir -p "$out"
flags="-std=gnu++17 -O1 -g1 -pthread -fno-math-errno -ffp-contract=off -Wall -Wextra -Wno-unused-parameter -Wno-unused-function -Wno-psabi -Wno-maybe-uninitialized -Wno-uninitialized"
all="runtime math matmul attention elementwise reduce copy random optim rows quant"
machine=$(uname -m)
compiler=${CXX:-g++}
prefix=""
case $mode in
  asan) flags="$flags -fsanitize=address,undefined -fno-sanitize-recover=undefined" ;;
  tsan)
    flags="$flags -fsanitize=thread"
    all=runtime
    # Its shadow memory wants the usual places of the address space, which some kernels randomise away.
    if setarch -R true 2>/dev/null; then prefix="setarch -R"; fi
    export TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS}"
    ;;
  arm64)
    # -O2, so that the code is vectorised as in the addon; static, so that no root of that architecture is needed.
    flags="$flags -O2 -static -Werror"
    if [ "$machine" != aarch64 ]; then
      machine=aarch64
      compiler=${CXX:-aarch64-linux-gnu-g++}
      prefix=qemu-aarch64
      for tool in ${compiler%% *} $prefix; do
        command -v "$tool" >/dev/null && continue
        echo "arm64: skipped, there is no $tool (Debian: apt install g++-aarch64-linux-gnu qemu-user)"
        exit 0
      done
    fi
    ;;
esac
isas="portable"
if [ "$machine" = x86_64 ]; then
  flags="$flags -DSHAKTI_X86"
  grep -q avx2 /proc/cpuinfo 2>/dev/null && isas="$isas avx2"
  grep -q avx512bw /proc/cpuinfo 2>/dev/null && isas="$isas avx512"
fi
flags_of() {
  case $1 in
    avx2) echo "-mavx2 -mfma -mf16c -mbmi2" ;;
    avx512) echo "-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mbmi2 -mprefer-vector-width=512" ;;
  esac
}
if [ "$mode" = sweep ]; then
  flags="$flags -O2"
  objects=""
  for isa in $isas; do
    # shellcheck disable=SC2086,SC2046
    $compiler $flags $(flags_of "$isa") -DSHAKTI_ISA="$isa" -c math_level.cc -o "$out/math-$isa.o"
    objects="$objects $out/math-$isa.o"
    flags="$flags -DSWEEP_$isa"
  done
  # shellcheck disable=SC2086
  $compiler $flags math_sweep.cc $objects -o "$out/math-sweep"
  exec "$out/math-sweep" "$@"
fi
for test in ${*:-$all}; do
  # The runtime is compiled once, not per instruction set.
  here=${ISAS:-$isas}
  if [ "$test" = runtime ]; then here=portable; fi
  # Kernels for the tile unit run on machines without one as well: see tiles.h.
  case $test in
    matmul | attention | quant) case " $here " in *" avx512 "*) here="$here amx" ;; esac ;;
  esac
  for isa in $here; do
    level=$isa
    if [ "$isa" = amx ]; then isa=avx512; fi
    cpu=$(flags_of "$isa")
    if [ "$level" = amx ]; then cpu="$cpu -DSHAKTI_EMULATE_AMX"; fi
    sources="${test}_test.cc"
    if [ "$test" = runtime ]; then
      for part in pool stream allocator cpu_device pages limits; do sources="$sources ../../src/runtime/$part.cc"; done
    else
      cpu="$cpu -DSHAKTI_ISA=$isa"
    fi
    # The product asks for the caches' sizes.
    if [ "$test" = matmul ]; then sources="$sources ../../src/runtime/limits.cc"; fi
    if [ -f "../../src/ops/$test/cpu.cc" ]; then sources="$sources ../../src/ops/$test/cpu.cc ../../src/ops/$test/op.cc"; fi
    if [ "$test" = rows ]; then
      for family in softmax norm loss mlp rope index; do
        sources="$sources ../../src/ops/$family/cpu.cc ../../src/ops/$family/op.cc"
      done
    fi
    # shellcheck disable=SC2086
    $compiler $flags $cpu $sources -o "$out/$test-$level"
    printf '%s: ' "$level"
    $prefix "$out/$test-$level"
  done
done
