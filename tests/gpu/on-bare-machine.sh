#!/usr/bin/env bash
# Tests and measures flexpack on a borrowed GPU machine that has a Python, torch, numpy, pandas,
# pyarrow and grpcio of its own, but neither Beam nor a network; the kit's pins are not obeyed.
#
#   tests/gpu/on-bare-machine.sh collect WHEELS            here: download what that machine lacks
#   tests/gpu/on-bare-machine.sh run WHEELS RESULT.json    there, in at most six minutes
#
# PYTHON is the interpreter (python3), PYTHON_VERSION the one to collect for (3.12), DEVICE cuda or
# cpu; with cpu a few rows try the code. RESULT.json holds at every moment what was found so far.
set -euo pipefail

readonly checkout=$(cd "$(dirname "$0")/../.." && pwd)
readonly python=${PYTHON:-python3}
readonly device=${DEVICE:-cuda}
readonly packages="apache-beam==2.77.0 orjson pillow pytest simplejpeg"
readonly alone="efficientnet-lite-pytorch"  # without what it depends on, which is torch
readonly there="numpy pandas pyarrow grpcio torch"
readonly most_mib=50 most_sec=330

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

collect() {
    local wheels=$1 name
    local download=(
        "$python" -m pip download --quiet --only-binary=:all: --implementation cp
        --python-version "${PYTHON_VERSION:-3.12}" --dest "$wheels"
    )
    for name in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014 manylinux1; do
        download+=(--platform "${name}_x86_64")
    done
    mkdir -p "$wheels"
    # shellcheck disable=SC2086
    "${download[@]}" $packages
    "${download[@]}" --no-deps $alone
    for name in $there; do rm -f "$wheels/$name"-*.whl; done
    local mib=$(($(cat "$wheels"/*.whl | wc -c) >> 20))
    echo "$wheels: $(ls "$wheels" | wc -l) wheels, $mib MiB"
    [ "$mib" -lt "$most_mib" ] || { echo "more than $most_mib MiB" >&2; exit 1; }
}

run() {
    local wheels=$1 result=$2 until=$(($(date +%s) + most_sec))
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    "$python" -c "import grpc, numpy, pandas, pyarrow, torch" \
        || { echo "$python lacks what the wheels do not bring: $there" >&2; exit 1; }
    echo "installing the wheels"
    # --no-deps: the kit's pins, and Beam's, give way to what the machine has.
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir \
        --target "$work/site" "$wheels"/*.whl
    cd "$checkout"
    export PYTHONPATH="$checkout:$work/site" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
    "$python" -m tests.gpu.everything "$result" --device "$device" \
        --until "$until"
}

case "${1:-} $#" in
    "collect 2") collect "$2" ;;
    "run 3") run "$(realpath "$2")" "$(realpath "$3")" ;;
    *) usage ;;
esac
