#!/bin/sh
# Where the time of a cached run goes: sh benchmarks/profile_noop.sh [N] [gitml run options, such as --at HEAD]
# Leaves bench-results/noop-N-imports.txt (import times), -own.txt and -cumulative.txt (cProfile), -calls.txt (strace -c, where
# strace is there) and prints the head of each.
set -eu
cd "$(dirname "$0")/.."
count=${1:-100}
[ $# -gt 0 ] && shift
root=$PWD/.bench/work/profile-gitml-$count
out=$PWD/bench-results/noop-$count
python=${BENCH_GITML:-$PWD/.bench/venvs/gitml}/bin/python
mkdir -p bench-results
unset PYTHONDONTWRITEBYTECODE

if [ ! -d "$root" ]; then
  .venv/bin/python -c "
from benchmarks.measure import fresh
from benchmarks.tools.gitml import Gitml
from benchmarks.workload import Chains
Gitml(fresh('profile-gitml-$count'), Chains($count)).lay_out()"
fi
cd "$root"
"$python" -m gitml run w1 -q "$@"
"$python" -m gitml run w1 -q "$@"

"$python" -X importtime -m gitml run w1 -q "$@" 2>&1 | grep '^import time:' | sort -t'|' -k2 -n > "$out-imports.txt"
"$python" -m cProfile -o "$out.prof" -m gitml run w1 -q "$@"
for order in tottime cumulative; do
  name=own
  [ $order = cumulative ] && name=cumulative
  "$python" -c "import pstats, sys; pstats.Stats(sys.argv[1]).strip_dirs().sort_stats(sys.argv[2]).print_stats(50)" \
    "$out.prof" $order > "$out-$name.txt"
done
if command -v strace > /dev/null; then
  strace -f -c -o "$out-calls.txt" "$python" -m gitml run w1 -q "$@"
  head -15 "$out-calls.txt"
fi
tail -15 "$out-imports.txt"
head -35 "$out-own.txt"
head -45 "$out-cumulative.txt"
