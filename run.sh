#!/usr/bin/env bash
# Builds qnext where needed and runs it.
#
#   ./run.sh                        first contact: packages, build, an answer of the bundled tiny model, the short benchmark
#   ./run.sh <command> [options]    any qnext command (./run.sh --help lists them), for example
#   ./run.sh chat --model DIR       a conversation with the checkpoint in DIR
#   ./run.sh prove --model DIR      the proof of the checkpoint in DIR on this machine: PASS or FAIL, and one folder to send
#
# Says nothing of its own when everything is up to date. The program is build/qnext.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd)
build=$root/build/release
program=$root/build/qnext
log=$root/build/build.log

note() { printf '%s\n' "$*" >&2; }

# Runs a step of the build with its output in the log; shows the end of the log if it fails.
logged() {
  if ! "$@" >>"$log" 2>&1; then
    tail -n 40 "$log" >&2
    note "The build failed; the whole log is $log"
    exit 1
  fi
}

build_program() {
  "$root/tools/install_packages.sh" run >&2
  mkdir -p "$root/build"
  : >"$log"
  cd "$root"
  if [[ ! -f $build/build.ninja ]]; then
    # With an NVIDIA GPU: the CUDA engine for that GPU. Without one: for the CPU alone, which builds in half the time.
    local cuda=(-DQNEXT_CUDA=OFF) capability nvcc
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d . || true)
    if [[ $capability =~ ^[0-9]+$ ]]; then
      nvcc=$("$root/tools/install_cuda.sh")
      cuda=(-DQNEXT_CUDA=ON "-DCMAKE_CUDA_COMPILER=$nvcc" "-DQNEXT_CUDA_ARCHITECTURES=$capability-real")
    fi
    note "Configuring ..."
    logged cmake --preset release -DQNEXT_BUILD_TESTS=OFF -DQNEXT_BUILD_BENCHMARKS=OFF -DQNEXT_UNITY=ALL "${cuda[@]}"
  fi
  if [[ ! -x $build/bin/qnext ]]; then
    note "Building qnext (a few minutes the first time) ..."
  fi
  logged cmake --build "$build" --target qnext --parallel "$(nproc)"
  if [[ ! $program -ef $build/bin/qnext ]]; then
    ln -sfn release/bin/qnext "$program"
  fi
}

(build_program)

if (($# > 0)); then
  exec "$program" "$@"
fi

model=$root/models/tiny
question="What is the capital of France?"
echo "The bundled tiny model (37.9 million parameters) is asked: $question"
printf '%s\n' "$question" | "$program" chat --model "$model" --temperature 0
echo
echo "The short benchmark on it:"
"$program" bench quick --model "$model" --out "$root/build/report"
echo
echo "The report is in $root/build/report (report.md, report.json)."
echo "With a real checkpoint: ./run.sh chat --model DIR   (./run.sh --help lists all commands)"
