#!/usr/bin/env bash
# Drives an unmodified restic with its default settings: it builds the host
# name ACCOUNT.blob.core.windows.net itself, so its requests are host-style
# over https, and a CONNECT proxy takes that name to the server under test.
#
#	restic.sh RESTIC PROXY-ADDRESS
#
# Account and key come from AZURE_STORAGE_CONNECTION_STRING, trust from
# SSL_CERT_FILE, as `coffer env` prints them.
set -uo pipefail
cd "$(dirname "$0")"
. ./report.sh

restic=$1 proxy=$2

# restic tries a failed request again for a quarter of an hour: long enough for
# one step to hide the next, so each command is cut off.
r() { timeout 180 "$restic" "$@"; }

field() { printf '%s' "$AZURE_STORAGE_CONNECTION_STRING" | tr ';' '\n' | sed -n "s/^$1=//p"; }
AZURE_ACCOUNT_NAME=$(field AccountName)
AZURE_ACCOUNT_KEY=$(field AccountKey)
export AZURE_ACCOUNT_NAME AZURE_ACCOUNT_KEY
export HTTPS_PROXY=http://$proxy NO_PROXY=
unset AZURE_ENDPOINT_SUFFIX AZURE_STORAGE_CONNECTION_STRING https_proxy no_proxy ALL_PROXY all_proxy

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
export RESTIC_CACHE_DIR=$work/cache RESTIC_PASSWORD=interop RESTIC_PROGRESS_FPS=0
name=restic-$(date +%s%N | tail -c 12)-$$
export RESTIC_REPOSITORY=azure:$name:/repo

src=$work/src
mkdir -p "$src/deep/er"
noise 30000000 "$src/large.bin"
noise 4096 "$src/small.bin"
: >"$src/empty"
for i in $(seq 1 200); do echo "file $i of many" >"$src/deep/f$i"; done
noise 1500000 "$src/deep/er/mid.bin"
ln -s ../small.bin "$src/deep/link"

init() { r init; }
backup() { r backup "$src"; }
again() {
	echo more >"$src/deep/f1"
	rm "$src/deep/f2"
	noise 2000000 "$src/second.bin"
	r backup "$src"
	r snapshots --json >"$work/snapshots"
	expect snapshots "$(grep -o '"short_id"' "$work/snapshots" | wc -l)" 2
}
check() { r check --read-data; }
restore() {
	r restore latest --target "$work/back"
	diff -r "$src" "$work/back$src"
}
ranges() {
	r dump latest "$src/large.bin" >"$work/dumped"
	cmp "$work/dumped" "$src/large.bin"
}
prune() {
	r forget --keep-last 1 --prune
	r check --read-data
	r restore latest --target "$work/back2"
	diff -r "$src" "$work/back2$src"
}
delete() {
	r snapshots --json >"$work/snapshots"
	id=$(grep -o '"short_id":"[0-9a-f]*"' "$work/snapshots" | head -n 1 | cut -d '"' -f 4)
	r forget --prune "$id"
	r stats --mode raw-data --json | tee "$work/stats"
	grep -q '"snapshots_count":0' "$work/stats"
}

printf 'version\t%s\n' "$("$restic" version | cut -d ' ' -f 1,2)"
step init init
step backup backup
step again again
step check check
step ranges ranges
step restore restore
step prune prune
step delete delete
report_done
