#!/usr/bin/env bash
# Builds the GPU tests and the program, and packs them into a folder that can be carried to a machine with a GPU and run
# there without anything being installed.
#
#   tools/gpu_tests.sh [--no-data] FOLDER [ARCHITECTURES]
#
# ARCHITECTURES are CMake's, by default 89-virtual: PTX for consumer cards of the Ada generation, which any newer card
# compiles for itself. On the other machine FOLDER/run.sh runs everything, or only the parts that it is given: tests,
# sanitizers, bench. --no-data leaves out the tiny model and the golden files (33 MB packed), for a machine that has a
# checkout: run.sh then takes them from the checkout that $DATA names.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
most_megabytes=60        # gzip
most_without_data=18

data=1
if [[ ${1:-} == --no-data ]]; then
  data=0 most_megabytes=$most_without_data
  shift
fi
if (($# < 1 || $# > 2)); then
  sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
mkdir -p "$1"
folder=$(cd -- "$1" && pwd)
architectures=${2:-89-virtual}
build=$root/build/gpu-tests-${architectures//[^0-9a-z-]/+}

launcher=()
if command -v ccache >/dev/null; then
  launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
fi
cd "$root"
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=g++ -DCMAKE_C_COMPILER=gcc \
  -DQNEXT_BUILD_TESTS=ON -DQNEXT_BUILD_BENCHMARKS=OFF -DQNEXT_CUDA=ON -DQNEXT_CUDA_ARCHITECTURES="$architectures" \
  -DQNEXT_TEST_DATA_DIR=. "${launcher[@]}" >/dev/null
tests=(hw_cuda_test kernels_cuda_test model_cuda_test decode_allocations_cuda_test engine_cuda_test)
cmake --build "$build" --target qnext "${tests[@]}"

rm -rf "${folder:?}"/{bin,lib,models,tests,tools,run.sh,commit,architectures}
mkdir -p "$folder"/{bin,lib,models,tests/model,tests/support,tools}
for program in qnext "${tests[@]}"; do
  strip -o "$folder/bin/$program" "$build/bin/$program"
  # Everything but the C library, which must be the other machine's own.
  ldd "$build/bin/$program" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' |
    grep -Ev '/(libc|libm|libdl|librt|libpthread|libresolv)\.so' | xargs -r -I{} cp -Ln {} "$folder/lib/"
done
if ((data)); then
  cp -r models/tiny "$folder/models/"
  cp -r tests/golden "$folder/tests/"
fi
cp tests/model/test_golden.py "$folder/tests/model/"
cp tests/support/harness.py "$folder/tests/support/"
cp -r tools/reference_numpy "$folder/tools/"
cp tools/gpu_tests_report.py "$folder/tools/"
install -m 755 tools/gpu_tests_run.sh "$folder/run.sh"
git describe --always --dirty --abbrev=12 '--exclude=*' >"$folder/commit"
echo "$architectures" >"$folder/architectures"

megabytes=$(($(tar -cz --exclude=./results -C "$folder" . | wc -c) / 1000000 + 1))
echo "$folder: $megabytes MB packed, commit $(cat "$folder/commit"), architectures $architectures"
if ((megabytes > most_megabytes)); then
  echo "more than $most_megabytes MB" >&2
  exit 1
fi
