#!/usr/bin/env bash
# Fuzzes every target, as many at a time as there are processors.
#
#	bash doc/fuzz.sh                      # ten minutes each: a night
#	bash doc/fuzz.sh 28800 FuzzAssembler  # eight hours for the targets of that name
#	KEEP=0 bash doc/fuzz.sh 10            # keeps nothing
#
# An input that fails a target is written to testdata/fuzz of its package by go test, and
# is a seed from then on: commit it with what mends it. Of the others that led somewhere
# new, KEEP of each target become seeds too, small ones, where there are not as many yet.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export seconds=${1:-600} only=${2:-.} keep=${KEEP:-4}
readonly max_seed=512 # bytes
export max_seed

# keep_some PACKAGE TARGET: copies inputs of all sizes from go's cache.
keep_some() {
	local found to n
	to=$(go list -f '{{.Dir}}' "$1")/testdata/fuzz/$2
	n=$(find "$to" -type f 2>/dev/null | wc -l)
	((n < keep)) || return 0
	mapfile -t found < <(find "$(go env GOCACHE)/fuzz/$1/$2" -type f -size "-${max_seed}c" -printf '%s %p\n' 2>/dev/null | sort -n | cut -d ' ' -f 2-)
	((${#found[@]})) || return 0
	mkdir -p "$to"
	for ((; n < keep; n++)); do
		cp "${found[$((${#found[@]} * n / keep))]}" "$to/"
	done
}

# fuzz_one PACKAGE TARGET: without -fuzzminimizetime most of the time would go into making
# inputs smaller.
fuzz_one() {
	local log status=0
	log=$(mktemp)
	if go test -run '^$' -fuzz "^$2\$" -fuzztime "${seconds}s" -fuzzminimizetime 10x -parallel 1 "$1" >"$log" 2>&1; then
		printf '%s %s: %s\n' "$1" "$2" "$(grep -o 'execs: [0-9]*' "$log" | tail -n 1)"
	elif grep -q '^    context deadline exceeded$' "$log" && ! grep -q 'Failing input' "$log"; then
		printf '%s %s: nothing found, but late to end\n' "$1" "$2" # go.dev/issue/56238
	else
		printf '%s %s: FAILED\n%s\n' "$1" "$2" "$(cat "$log")"
		status=1
	fi
	rm -f "$log"
	((keep == 0)) || keep_some "$1" "$2"
	return $status
}
export -f keep_some fuzz_one

for pkg in $(go list ./...); do
	for target in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' | grep -E "$only"); do
		printf '%s %s\n' "$pkg" "$target"
	done
done | xargs -r -P "$(getconf _NPROCESSORS_ONLN)" -n 2 bash -c 'fuzz_one "$@"' fuzz_one
