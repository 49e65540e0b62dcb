#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test that this machine can run.
#
#   ./test.sh           formatting, C++ tests, Python tests, then the C++ and bad-input tests again under address and
#                       undefined-behaviour sanitizers; about 20 minutes on two cores, less with ccache
#   ./test.sh --full    also clang-tidy over all sources and the C++ tests under the thread sanitizer
#
# Prints one line for each suite and at the end the sum: "N passed, N failed, N skipped". Exit code 1 if anything failed.
# Logs are in build/test-logs/.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd)
cd "$root"
logs=$root/build/test-logs
venv=$root/build/venv
jobs=$(nproc)
full=false

case "${1:-}" in
  "") ;;
  --full) full=true ;;
  *)
    echo "usage: ./test.sh [--full]" >&2
    exit 2
    ;;
esac

total_passed=0
total_failed=0
total_skipped=0
summary=()
started=()

# record <suite> <passed> <failed> <skipped> <seconds>: adds a suite to the sum and prints its line.
record() {
  total_passed=$((total_passed + $2))
  total_failed=$((total_failed + $3))
  total_skipped=$((total_skipped + $4))
  local line
  line=$(printf '%-38s %6d passed %5d failed %5d skipped %6ds' "$1" "$2" "$3" "$4" "$5")
  summary+=("$line")
  echo "$line"
}

show_end_of() {
  sed 's/^/    /' "$1" | tail -n "${2:-25}"
}

# fatal_step <what> <log> <command ...>: a step without which nothing can be tested.
fatal_step() {
  local what=$1 log=$logs/$2
  shift 2
  echo "$what ..."
  if ! "$@" >"$log" 2>&1; then
    show_end_of "$log" 60
    echo "$what failed; the whole log is $log"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
  fi
}

# configure <preset> [options]: ccache is used where there is one.
configure() {
  local preset=$1
  shift
  if command -v ccache >/dev/null; then
    set -- "$@" -DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_C_COMPILER_LAUNCHER=ccache
  fi
  cmake --preset "$preset" -DQNEXT_BUILD_TESTS=ON "$@"
}

# A failing sanitizer build is one failed suite; the others still count.
# build_or_record <suite> <preset>
build_or_record() {
  local start=$SECONDS
  echo "Building for $1 ..."
  if ! { configure "$2" && cmake --build "build/$2" --parallel "$jobs"; } >"$logs/$2-build.log" 2>&1; then
    show_end_of "$logs/$2-build.log" 40
    record "$1: build" 0 1 0 $((SECONDS - start))
    return 1
  fi
}

# ctest_suite <suite> <preset> [filter]: the C++ tests of one build, all or those of a GoogleTest filter, counted case by case.
ctest_suite() {
  local suite=$1 preset=$2 start=$SECONDS status=0 counts passed failed skipped
  local log=$logs/$preset-ctest.log junit=$logs/$preset-ctest.xml reports=$logs/$preset-gtest
  rm -rf "$reports" "$junit"
  mkdir -p "$reports"
  GTEST_FILTER=${3:-*} GTEST_OUTPUT="json:$reports/" ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
    ctest --test-dir "build/$preset" --parallel "$jobs" --timeout 600 --output-on-failure --no-tests=error \
    --output-junit "$junit" >"$log" 2>&1 || status=$?
  if ! counts=$("$venv/bin/python" tests/support/count_ctest.py "$junit" "$reports" 2>>"$log"); then
    counts="0 1 0"
  fi
  read -r passed failed skipped <<<"$counts"
  if ((status != 0 && failed == 0)); then
    failed=1
  fi
  if ((failed > 0)); then
    show_end_of "$log" 60
  fi
  record "$suite" "$passed" "$failed" "$skipped" $((SECONDS - start))
}

# python_suite <suite> <log> <script> [arguments]: a script whose last line is "N passed, N failed[, N skipped]". Most of
# them keep one core busy, so as many as there are cores run side by side: this starts one, collect_suites awaits and
# records them all, in the order in which they were started.
python_suite() {
  local suite=$1 log=$logs/$2 script=$3
  shift 3
  while (($(jobs -rp | wc -l) >= jobs)); do
    wait -n || true
  done
  rm -f "$log.done"
  started+=("$suite|$log")
  (
    SECONDS=0
    status=0
    timeout 1500 "$venv/bin/python" "$script" "$@" >"$log" 2>&1 </dev/null || status=$?
    echo "$status $SECONDS" >"$log.done"
  ) &
}

collect_suites() {
  wait
  local entry
  for entry in "${started[@]}"; do
    record_python "${entry%%|*}" "${entry#*|}"
  done
  started=()
}

record_python() {
  local suite=$1 log=$2 status=1 seconds=0 last
  read -r status seconds <"$log.done" || true
  last=$(tail -n 1 "$log")
  if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
    local passed=${BASH_REMATCH[1]} failed=${BASH_REMATCH[2]} skipped=${BASH_REMATCH[4]:-0}
    if ((status != 0 && failed == 0)); then
      failed=1
    fi
  else
    local passed=0 failed=1 skipped=0
  fi
  if ((failed > 0)); then
    show_end_of "$log" 40
  fi
  record "$suite" "$passed" "$failed" "$skipped" "$seconds"
}

sources() {
  find src tests benchmarks -name '*.cc' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' 2>/dev/null | LC_ALL=C sort
}

# Other major versions of clang-format lay some lines out differently, so only the one the sources were formatted with may judge.
formatting_suite() {
  local start=$SECONDS version
  version=$(clang-format --version 2>/dev/null | sed -n 's/.*version \([0-9]*\)\..*/\1/p' || true)
  if [[ $version != 14 ]]; then
    echo "formatting: needs clang-format 14, here is ${version:-none}"
    record "formatting" 0 0 1 0
  elif sources | xargs clang-format --dry-run -Werror >"$logs/format.log" 2>&1; then
    record "formatting" 1 0 0 $((SECONDS - start))
  else
    show_end_of "$logs/format.log" 20
    record "formatting" 0 1 0 $((SECONDS - start))
  fi
}

# One test for each source file.
tidy_suite() {
  local start=$SECONDS files=0 failed
  rm -rf "$logs/tidy"
  mkdir -p "$logs/tidy"
  echo "clang-tidy over all sources (several minutes) ..."
  files=$(find src -name '*.cc' | wc -l)
  # shellcheck disable=SC2016 # the inner shell expands these
  find src -name '*.cc' | LC_ALL=C sort | xargs -P "$jobs" -I{} bash -c \
    'log=$1/$(tr / _ <<<"$2").log; if clang-tidy --quiet -p build/release "$2" >"$log" 2>&1; then rm -f "$log"; fi' _ "$logs/tidy" {}
  failed=$(find "$logs/tidy" -name '*.log' | wc -l)
  if ((failed > 0)); then
    grep -h -E 'error:|warning:' "$logs"/tidy/*.log | sort -u | head -n 20 | sed 's/^/    /' || true
  fi
  record "clang-tidy" $((files - failed)) "$failed" 0 $((SECONDS - start))
}

# The packages of tests/requirements.txt stand alone; the openai client brings its own dependencies.
set_up_venv() {
  if ! cat tests/requirements.txt tests/server/requirements.txt | cmp -s - "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement tests/requirements.txt
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement tests/server/requirements.txt
    cat tests/requirements.txt tests/server/requirements.txt >"$venv/requirements.txt"
  fi
}

mkdir -p "$logs"
if $full; then
  tools/install_packages.sh full
else
  tools/install_packages.sh test
fi
fatal_step "Python packages (from PyPI, tests/requirements.txt and tests/server/requirements.txt)" venv.log set_up_venv
# The CUDA engine is compiled for one architecture; where there is a GPU, for that one, and its tests run too.
cuda_options() {
  local capability
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d . || true)
  nvcc=$(tools/install_cuda.sh)
  cuda=(-DQNEXT_CUDA=ON "-DCMAKE_CUDA_COMPILER=$nvcc" "-DQNEXT_CUDA_ARCHITECTURES=${capability:-89}-real")
}
fatal_step "CUDA compiler" cuda.log cuda_options
fatal_step "Configuring" configure.log configure release -DQNEXT_BUILD_BENCHMARKS=ON -DQNEXT_UNITY=ALL "${cuda[@]}"
fatal_step "Building" build.log cmake --build build/release --parallel "$jobs"
ln -sfn release/bin/qnext build/qnext

formatting_suite
ctest_suite "C++" release
while IFS= read -r script; do
  name=${script#tests/}
  python_suite "${name%.py}" "$(tr / - <<<"${name%.py}").log" "$script"
done < <(find tests -name 'test_*.py' | LC_ALL=C sort)
python_suite "text/compare_tokenizer" text-compare_tokenizer.log tests/text/compare_tokenizer.py --bin build/release/bin/qnext_tokenize_lines \
  --tokenizer models/tiny/tokenizer.json --full tests/text/qwen3-tokenizer.json.xz
python_suite "server/openai_client" server-openai_client.log tests/server/openai_client.py \
  --bin 'build/release/bin/qnext serve --model models/tiny --port 0' --generate 'build/release/bin/qnext generate --model models/tiny'
python_suite "text/compare_jinja" text-compare_jinja.log tests/text/compare_jinja.py --program build/release/bin/qnext_render_cases
collect_suites
if $full; then
  tidy_suite
fi

# Left out under sanitizers, where these take minutes: the same kernels over large shapes once more (ragged ones and the int8
# paths of the whole model stay), and whole commands that print figures about the 80B.
repeated='*Matmul.RealShapes:Golden.EveryCpuPathInFloat32:Inspect.An80BCheckpointInSeconds:BenchRunsTest.MachineReportOnDisk'
repeated+=':PlanCommand.BoundOfAMeasuredRun:BenchKindsTest.Stress*:BenchKindsTest.Memory*'
if build_or_record "C++, address and undefined" asan; then
  python_suite "cli/test_bad_input, address, undefined" asan-bad-input.log tests/cli/test_bad_input.py --qnext build/asan/bin/qnext
  ctest_suite "C++, address and undefined" asan "-$repeated"
  collect_suites
fi
if $full && build_or_record "C++, thread" tsan; then
  ctest_suite "C++, thread" tsan
fi

echo
printf '%s\n' "${summary[@]}"
echo "Logs: $logs; ${SECONDS} s in all."
echo "$total_passed passed, $total_failed failed, $total_skipped skipped"
((total_failed == 0))
