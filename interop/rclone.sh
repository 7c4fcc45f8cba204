#!/usr/bin/env bash
# Drives an unmodified rclone against AZURE_STORAGE_CONNECTION_STRING and
# reports every step for the interop matrix.
#
#	rclone.sh RCLONE
set -uo pipefail
cd "$(dirname "$0")"
. ./report.sh

rclone=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# A configuration of its own: nothing of the user's, one remote "az".
export RCLONE_CONFIG=$work/rclone.conf
: >"$RCLONE_CONFIG"
export RCLONE_CONFIG_AZ_TYPE=azureblob
export RCLONE_CONFIG_AZ_CONNECTION_STRING=$AZURE_STORAGE_CONNECTION_STRING
export TZ=UTC RCLONE_LOW_LEVEL_RETRIES=1 RCLONE_RETRIES=1
name=rc-$(date +%s%N | tail -c 12)-$$
remote=az:$name
src=$work/src

mkdir -p "$src/a/b" "$src/with space" "$src/ünï"
: >"$src/empty"
noise 4096 "$src/small.bin"
noise 32769 "$src/a/just-over.bin"
noise 300000 "$src/a/b/mid.bin"
noise 4096 "$src/with space/plus+and%.bin"
noise 100 "$src/ünï/日本語.txt"
noise 41234567 "$src/large.bin"
for i in $(seq -w 1 23); do echo "file $i" >"$src/a/n$i"; done

container() {
	"$rclone" mkdir "$remote"
	"$rclone" lsd az: >"$work/containers"
	grep -q "$name" "$work/containers"
}
small() {
	"$rclone" copyto "$src/small.bin" "$remote/small.bin"
	"$rclone" cat "$remote/small.bin" | cmp - "$src/small.bin"
}
empty() {
	"$rclone" copyto "$src/empty" "$remote/empty"
	expect size "$("$rclone" cat "$remote/empty" | wc -c)" 0
}
large() {
	"$rclone" copyto --azureblob-upload-cutoff 8M --azureblob-chunk-size 4M --azureblob-upload-concurrency 8 "$src/large.bin" "$remote/large.bin"
	"$rclone" copyto --multi-thread-cutoff 8M --multi-thread-streams 4 "$remote/large.bin" "$work/large.back"
	cmp "$work/large.back" "$src/large.bin"
}
names() {
	"$rclone" copy "$src" "$remote/tree"
	"$rclone" check --download "$src" "$remote/tree"
	"$rclone" check "$src" "$remote/tree" # by MD5, as the service reports it
}
list_flat() {
	for chunk in 1 3 7 5000; do
		"$rclone" lsf -R --files-only --azureblob-list-chunk $chunk "$remote/tree" | sort >"$work/got"
		(cd "$src" && find . -type f | sed 's,^\./,,' | sort) >"$work/want"
		diff "$work/want" "$work/got"
	done
}
list_tree() {
	for chunk in 1 2 5000; do
		"$rclone" lsf --azureblob-list-chunk $chunk "$remote/tree" | sort >"$work/got"
		(cd "$src" && ls -p | sort) >"$work/want"
		diff "$work/want" "$work/got"
	done
}
ranges() {
	local off n
	for at in 0:1 1:4095 40000:70000 41234560:7; do
		off=${at%:*} n=${at#*:}
		"$rclone" cat --offset "$off" --count "$n" "$remote/large.bin" >"$work/part"
		{ tail -c +$((off + 1)) "$src/large.bin" || true; } 2>/dev/null | head -c "$n" >"$work/want"
		cmp "$work/want" "$work/part"
	done
}
metadata() {
	"$rclone" copyto --metadata --metadata-set mixed=One --header-upload "Cache-Control: no-cache" "$src/small.bin" "$remote/meta.bin"
	"$rclone" lsjson --metadata "$remote/meta.bin" >"$work/json"
	grep -q '"mixed":"One"' "$work/json" || { cat "$work/json"; return 1; }
	# The modification time lives in metadata and survives.
	touch -d '2001-02-03T04:05:06Z' "$src/small.bin"
	"$rclone" touch -t 2001-02-03T04:05:06 "$remote/meta.bin"
	"$rclone" lsl "$remote/meta.bin" >"$work/lsl"
	grep '2001-02-03 04:05:06' "$work/lsl" >/dev/null || { cat "$work/lsl"; return 1; }
}
sync() {
	echo changed >"$src/a/n01"
	rm "$src/a/n02"
	"$rclone" sync "$src" "$remote/tree"
	"$rclone" check --download "$src" "$remote/tree"
	# A second run has nothing to transfer.
	"$rclone" sync -v "$src" "$remote/tree" 2>"$work/log"
	grep -q 'There was nothing to transfer' "$work/log" || { tail -n 3 "$work/log"; return 1; }
}
restore() {
	"$rclone" copy "$remote/tree" "$work/back"
	diff -r "$src" "$work/back"
}
delete() {
	"$rclone" deletefile "$remote/small.bin"
	"$rclone" lsf "$remote/" >"$work/left"
	absent small.bin "$work/left"
	"$rclone" purge "$remote/tree"
	expect files "$("$rclone" lsf -R "$remote/tree" 2>/dev/null | wc -l)" 0
	"$rclone" purge "$remote"
	"$rclone" lsd az: >"$work/containers"
	absent "$name" "$work/containers"
}

printf 'version\t%s\n' "$("$rclone" version | head -n 1)"
step container container
step small small
step empty empty
step large large
step names names
step list-flat list_flat
step list-tree list_tree
step ranges ranges
step metadata metadata
step sync sync
step restore restore
step delete delete
report_done
