#!/bin/sh
# Builds the simulator and its tests, and runs them: run.sh [asan] [test ...], e.g. run.sh instructions. No nvcc is needed:
# the kernels' PTX is committed (kernels/make.sh writes it anew).
set -e
cd "$(dirname "$0")"
mode=plain
if [ "$1" = asan ]; then
  mode=asan
  shift
fi
out=${OUT:-../../build/test-$mode}
mkdir -p "$out"
case $(uname -m) in x86_64) march=-march=x86-64-v3 ;; *) march= ;; esac
flags="-std=gnu++17 -O3 $march -ffp-contract=off -fno-math-errno -fno-trapping-math -fPIC -pthread -Wall -Wextra"
if [ "$mode" = asan ]; then flags="-std=gnu++17 -O1 -g $march -ffp-contract=off -fPIC -pthread -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-sanitize=alignment"; fi
newest=$(ls -t ../*/*.h ./*.h | head -1)
objects=""
stale=""
# The driver's tests need the driver: ../../scripts/build.mjs --tests builds all.
mine=$(ls ./*_test.cc | grep -v -e driver -e abi)
for source in ../ptx/*.cc ../exec/*.cc ../memory/*.cc ../report/*.cc $mine; do
  object=$out/$(basename "$source" .cc).o
  case $source in *_test.cc) ;; *) objects="$objects $object" ;; esac
  if [ ! -f "$object" ] || [ "$source" -nt "$object" ] || [ "$newest" -nt "$object" ]; then stale="$stale $source"; fi
done
if [ -n "$stale" ]; then
  # shellcheck disable=SC2086
  printf '%s\n' $stale | xargs -P "$(nproc)" -I{} sh -c "g++ $flags -c {} -o $out/\$(basename {} .cc).o"
fi
if [ "$1" = speed ]; then
  shift
  # shellcheck disable=SC2086
  g++ $flags speed.cc $objects -o "$out/speed"
  exec "$out/speed" "$@"
fi
failed=0
for test in ${*:-$(echo "$mine" | sed 's/.*\/\(.*\)_test.cc/\1/')}; do
  # shellcheck disable=SC2086
  g++ $flags "$out/${test}_test.o" $objects -o "$out/$test"
  "$out/$test" || failed=1
done
exit $failed
