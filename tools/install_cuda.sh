#!/usr/bin/env bash
# Prints the path of a CUDA compiler (nvcc) that can build the CUDA engine; installs one into build/cuda where the machine
# has none: the toolkit's compiler as Python packages, 300 MB, nothing outside the project's folder. Needs no GPU.
#
#   tools/install_cuda.sh [--only-find]     with --only-find nothing is installed; prints nothing if there is none
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
folder=$root/build/cuda
# The oldest that knows every GPU of QNEXT_CUDA_ARCHITECTURES (compute capability 12.0) and C++20.
oldest=12.8
packages=(nvidia-cuda-nvcc==13.0.88 nvidia-cuda-runtime==13.0.96 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-cccl==13.0.85)

new_enough() {
  local version
  version=$("$1" --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
  [[ -n $version && $(printf '%s\n' "$oldest" "$version" | sort -V | head -n 1) == "$oldest" ]]
}

for candidate in "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc "$folder"/lib/python3*/site-packages/nvidia/cu13/bin/nvcc; do
  if [[ -x $candidate ]] && new_enough "$candidate"; then
    echo "$candidate"
    exit 0
  fi
done
if [[ ${1:-} == --only-find ]]; then
  exit 0
fi
echo "Installing the CUDA compiler into $folder (300 MB) ..." >&2
rm -rf "$folder"
python3 -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "${packages[@]}" >&2
for candidate in "$folder"/lib/python3*/site-packages/nvidia/cu13/bin/nvcc; do
  if [[ -x $candidate ]] && new_enough "$candidate"; then
    echo "$candidate"
    exit 0
  fi
done
echo "The CUDA compiler's packages hold no nvcc" >&2
exit 1
