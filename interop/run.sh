#!/usr/bin/env bash
# Runs unmodified Azure clients against a server built from this tree and
# prints a matrix; any failure ends it with a non-zero status.
#
#	interop/run.sh [go|js|python|rclone|restic]...     default: all
#
# Everything is installed by install.sh, pinned, into COFFER_INTEROP_CACHE
# (default .cache/interop). Needs Go, Node.js with npm, Python 3 with venv, and
# the package registries the first time.
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh
. ./install.sh

wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=(go js python rclone restic)

started=$SECONDS
install_clients
build_coffer
say "clients and server ready after $((SECONDS - started)) s"

start_coffer
# An account with infrastructure encryption, for the rounds of keys.
"$coffer" account create twice --infrastructure-encryption --data "$data" >/dev/null
eval "$("$coffer" env --shell sh --data "$data" --account twice)"
double_http=$COFFER_HTTP_CONNECTION_STRING double_https=$COFFER_HTTPS_CONNECTION_STRING
# From here on the environment is what a user pastes, and nothing else.
eval "$("$coffer" env --shell sh --data "$data")"

"$cache/bin/connectproxy" -ready-file "$scratch/proxy" -map "*.blob.core.windows.net:443=$address" 2>"$scratch/proxy.log" &
pids+=($!)
wait_file "$scratch/proxy" "$!" 20
proxy=$(cat "$scratch/proxy")

reports=()

# client NAME SCHEME COMMAND...: one column of the matrix.
client() {
	local name=$1 scheme=$2 file=$scratch/$1-$2.tsv began=$SECONDS
	shift 2
	say "$name over $scheme"
	case $scheme in
	http)
		export AZURE_STORAGE_CONNECTION_STRING=$COFFER_HTTP_CONNECTION_STRING
		export COFFER_DOUBLE_CONNECTION_STRING=$double_http
		;;
	https)
		export AZURE_STORAGE_CONNECTION_STRING=$COFFER_HTTPS_CONNECTION_STRING
		export COFFER_DOUBLE_CONNECTION_STRING=$double_https
		;;
	esac
	# The report carries what failed; the exit status only repeats it.
	timeout 900 "$@" >"$file" 2>"$file.err" || true
	if ! grep -q '^done' "$file"; then
		tail -n 20 "$file.err" >&2
	fi
	say "$name over $scheme took $((SECONDS - began)) s"
	reports+=("$name/$scheme=$file")
}

for name in "${wanted[@]}"; do
	case $name in
	go)
		client go http "$cache/bin/azblob"
		client go https "$cache/bin/azblob"
		;;
	js)
		cp "$interop"/js/*.mjs "$cache/js/"
		client js http "$cache/js/node_modules/node/bin/node" "$cache/js/suite.mjs"
		client js https "$cache/js/node_modules/node/bin/node" "$cache/js/suite.mjs"
		;;
	python)
		client python http env PYTHONDONTWRITEBYTECODE=1 "$cache/venv/bin/python" "$interop/python/suite.py"
		client python https env PYTHONDONTWRITEBYTECODE=1 "$cache/venv/bin/python" "$interop/python/suite.py"
		;;
	rclone)
		client rclone http "$interop/rclone.sh" "$cache/bin/rclone"
		client rclone https "$interop/rclone.sh" "$cache/bin/rclone"
		;;
	restic)
		client restic https "$interop/restic.sh" "$cache/bin/restic" "$proxy"
		;;
	*)
		say "unknown client $name"
		exit 2
		;;
	esac
done

echo
status=0
"$cache/bin/matrix" "${reports[@]}" || status=1
# What the clients stored, on the disk: whole, and twice sealed where that was asked for.
checked=$("$coffer" verify --data "$data") || { printf '%s\n' "$checked" && status=1; }
case " ${wanted[*]} " in
*" go "* | *" js "* | *" python "*)
	grep 'with both layers: [1-9]' <<<"$checked" || { say "nothing has both layers" && status=1; }
	;;
esac
echo "server: peak memory $(peak_rss "$server") MiB, whole run $((SECONDS - started)) s"
stop_coffer || status=1
exit $status
