#!/usr/bin/env bash
# Sees that the packages for building (run), testing (test) or everything (full) are there, and installs what is missing.
#
#   tools/install_packages.sh run|test|full
#
# Quiet and quick when nothing is missing. Debian and Ubuntu: apt-get, as root or through sudo. Elsewhere, or without
# either: says what is missing and exits with 1. What is asked is whether a thing can be used (a command on the PATH, a
# library that pkg-config knows), so self-built tools count.
set -euo pipefail

want=${1:-run}

# kind : what is looked for : Debian's package
needs_run=(
  command:g++:g++
  command:cmake:cmake
  command:ninja:ninja-build
  command:pkg-config:pkg-config
  library:nlohmann_json:nlohmann-json3-dev
  library:CLI11:libcli11-dev
  library:fmt:libfmt-dev
  library:libpcre2-8:libpcre2-dev
  library:libutf8proc:libutf8proc-dev
  library:hwloc:libhwloc-dev
)
if [[ -d $(dirname -- "${BASH_SOURCE[0]}")/../src/server ]]; then
  needs_run+=(header:boost/asio.hpp:libboost-dev)  # the HTTP transport
fi
needs_test=(
  library:gtest:libgtest-dev
  library:benchmark:libbenchmark-dev
  command:python3:python3
  module:ensurepip:python3-venv
  certificates:ca-certificates:ca-certificates
  command:clang-format:clang-format
)
needs_full=(
  command:clang-tidy:clang-tidy
)

case $want in
  run) needs=("${needs_run[@]}") ;;
  test) needs=("${needs_run[@]}" "${needs_test[@]}") ;;
  full) needs=("${needs_run[@]}" "${needs_test[@]}" "${needs_full[@]}") ;;
  *)
    echo "usage: $0 run|test|full" >&2
    exit 2
    ;;
esac

present() {  # kind name
  case $1 in
    command) command -v "$2" >/dev/null ;;
    library) command -v pkg-config >/dev/null && pkg-config --exists "$2" ;;
    header) [[ -e /usr/include/$2 || -e /usr/local/include/$2 ]] ;;
    module) command -v python3 >/dev/null && python3 -c "import $2" 2>/dev/null ;;
    certificates) [[ -s /etc/ssl/certs/ca-certificates.crt || -s /etc/pki/tls/certs/ca-bundle.crt || -s /etc/ssl/cert.pem ]] ;;
  esac
}

find_missing() {  # sets missing (Debian's packages) and things (what was looked for)
  missing=()
  things=()
  local need kind name package
  for need in "${needs[@]}"; do
    IFS=: read -r kind name package <<<"$need"
    if ! present "$kind" "$name"; then
      missing+=("$package")
      things+=("$name")
    fi
  done
}

find_missing
if ((${#missing[@]} == 0)); then
  exit 0
fi

give_up() {
  echo "Missing: ${things[*]}" >&2
  echo "$1" >&2
  exit 1
}

if ! command -v apt-get >/dev/null; then
  give_up "Please install these with your distribution's package manager (Debian calls them: ${missing[*]}), then start again."
fi

as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    give_up "Please run as root: apt-get update && apt-get install -y ${missing[*]}"
  elif [[ -t 0 ]]; then
    as_root=(sudo)
  elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  else
    give_up "sudo asks for a password; please run: sudo apt-get update && sudo apt-get install -y ${missing[*]}"
  fi
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Installing ${missing[*]} ..."
if ! {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
} >"$log" 2>&1 </dev/null; then
  tail -n 20 "$log" >&2
  give_up "The installation failed. By hand: apt-get update && apt-get install -y ${missing[*]}"
fi

find_missing
if ((${#missing[@]} > 0)); then
  give_up "Installed, but still not found: ${things[*]}"
fi
