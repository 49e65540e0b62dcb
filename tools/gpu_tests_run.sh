#!/usr/bin/env bash
# Runs what tools/gpu_tests.sh has packed, on a machine with a GPU.
#
#   ./run.sh [tests] [sanitizers] [bench]      all of them if none is named
#
# Results go to $OUT, or ./results: gpu-tests-<commit>.json with every test by name, logs, benchmark reports. A short table
# comes last. Exit code 1 if anything failed or was skipped.
set -uo pipefail

data=${DATA:+$(readlink -f -- "$DATA")}
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" || exit 2
if [[ -n $data ]]; then
  [[ -e models/tiny ]] || ln -s "$data/models/tiny" models/tiny
  [[ -e tests/golden ]] || ln -s "$data/tests/golden" tests/golden
fi
export LD_LIBRARY_PATH=$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
out=${OUT:-$PWD/results}
logs=$(mktemp -d)
mkdir -p "$out"
parts=${*:-tests sanitizers bench}
wanted() { [[ " $parts " == *" $1 "* ]]; }

# The tests that are small enough for a tool that watches every access; the whole model at the shapes of the 80B is not.
small='-*CudaSynthetic*:*Real*:*Large*:HybridModelTest.AgreesFrom*:HybridModelTest.PromptsGive*:HybridModelTest.TheGpuDoesNotWait*:*WithExpertsInRam*'
# Of those, one of each kind: racecheck is slower again.
race='*CudaModelTest.AgreesWithThePublished*:*CudaModelTest.SlotsDoNotSeeEachOther:StepKernels*:*Tiny*:*Ragged*:HybridModelTest.Segments*'

if wanted tests; then
  for program in bin/*_cuda_test; do
    name=$(basename "$program")
    echo "== $name"
    timeout 400 "$program" --gtest_output="json:$logs/$name.json" >"$logs/$name.log" 2>&1
    echo "$?" >"$logs/$name.exit"
    grep -E '^\[  (PASSED|FAILED|SKIPPED)' "$logs/$name.log" | sort -u | head -20
  done
  if python3 -c 'import numpy' 2>/dev/null; then
    echo "== test_golden.py"
    timeout 300 python3 tests/model/test_golden.py --qnext bin/qnext --device cuda >"$logs/test_golden.log" 2>&1
    echo "$?" >"$logs/test_golden.exit"
    tail -n 3 "$logs/test_golden.log"
  fi
fi

# sanitize <tool> <program> <filter> [options of the tool]
sanitize() {
  local log=$logs/$1-$(basename "$2")
  timeout 500 compute-sanitizer --tool "$1" --error-exitcode 9 "${@:4}" "$2" --gtest_filter="$3" --gtest_output="json:$log.json" \
    >"$log.log" 2>&1
  echo "$?" >"$log.exit"
}
if wanted sanitizers; then
  if command -v compute-sanitizer >/dev/null; then
    # Not decode_allocations: it counts the program's allocations, and a sanitizer makes some of its own. The tests of hw
    # ask CUDA for what it must refuse.
    sanitize memcheck bin/hw_cuda_test "$small" --report-api-errors no &
    for name in engine kernels model; do sanitize memcheck "bin/${name}_cuda_test" "$small" & done
    for name in kernels model; do sanitize racecheck "bin/${name}_cuda_test" "$race" & done
    wait
    for log in "$logs"/{memcheck,racecheck}-*.log; do
      echo "== $(basename "$log" .log): exit code $(cat "${log%.log}.exit"), $(grep 'ERROR SUMMARY\|RACECHECK SUMMARY' "$log" | tail -n 1)"
    done
  else
    echo "== no compute-sanitizer on this machine"
  fi
fi

if wanted bench; then
  for kind in 80b-a 80b-b; do
    echo "== $kind"
    timeout 280 bin/qnext profile --synthetic "$kind" --context 1024 --json "$out/profile-$kind.json" >"$logs/profile-$kind.log" 2>&1
    echo "$?" >"$logs/profile-$kind.exit"
    cat "$logs/profile-$kind.log"
    timeout 280 bin/qnext bench quick --synthetic "$kind" --device cuda --out "$out/bench-$kind" >"$logs/bench-$kind.log" 2>&1
    echo "$?" >"$logs/bench-$kind.exit"
    head -n 30 "$logs/bench-$kind.log"
  done
fi

tar -czf "$out/logs.tar.gz" -C "$logs" .
python3 tools/gpu_tests_report.py "$logs" "$(cat commit)" "$(cat architectures)" "$out/gpu-tests-$(cat commit).json"
