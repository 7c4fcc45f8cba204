#!/usr/bin/env bash
# Runs the README's tour "Your key, your switch" as it stands there, from a tree that was
# not built: build, start, and each command in its order. Fails if one does not do what
# it says, and prints how long it took to the first refused read.
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh

began=$SECONDS
build_coffer
start_coffer
# The commands say bin/coffer and no --data: they run where both are.
mkdir -p "$scratch/tour/bin"
ln -s "$coffer" "$scratch/tour/bin/coffer"
ln -s "$data" "$scratch/tour/coffer-data"
cd "$scratch/tour"
eval "$(bin/coffer env)"

commands=0
while IFS= read -r line; do
	commands=$((commands + 1))
	say "$line"
	case $line in
	*'# refused: '*)
		code=${line##*'# refused: 403 '}
		if bash -c "${line%%'#'*}" >out 2>&1; then cat out; say "was not refused"; exit 1; fi
		grep -q "$code" out || { cat out; say "not refused with $code"; exit 1; }
		say "refused with $code after $((SECONDS - began)) s"
		;;
	*'# read again'*)
		for _ in $(seq 15); do
			bash -c "${line%%'#'*}" >out 2>&1 && break
			sleep 1
		done
		grep -q '^secret words$' out || { cat out; say "is not read"; exit 1; }
		;;
	*) bash -c "$line" >out 2>&1 || { cat out; say "failed"; exit 1; } ;;
	esac
done < <(sed -n '/^## Your key, your switch/,/^## Whom/ s/^    //p' "$root/README.md")
[ "$commands" -eq 10 ] || { say "the tour has $commands commands, not ten"; exit 1; }
say "the tour took $((SECONDS - began)) s"
stop_coffer
