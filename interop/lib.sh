# What the interop scripts share: where things are, one server under test,
# and the promise that nothing started here is left running. Source this file
# from a script in this directory after `set -euo pipefail`.

interop=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$interop")
cache=${COFFER_INTEROP_CACHE:-$root/.cache/interop}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

scratch=$(mktemp -d)
pids=()     # everything started in the background by this script, and nothing else
cleanups=() # functions to call after those have ended

say() { printf 'interop: %s\n' "$*" >&2; }

cleanup() {
	local pid f
	for pid in "${pids[@]}"; do
		kill -TERM "$pid" 2>/dev/null || true
	done
	for pid in "${pids[@]}"; do
		wait_gone "$pid" 40 || kill -KILL "$pid" 2>/dev/null || true
	done
	for f in "${cleanups[@]}"; do
		"$f"
	done
	rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

at_cleanup() { cleanups+=("$1"); }

# wait_gone PID SECONDS
wait_gone() {
	local i
	for ((i = 0; i < $2 * 10; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.1
	done
	return 1
}

# wait_file FILE PID SECONDS: until the file is there; fails when the process ends first.
wait_file() {
	local i
	for ((i = 0; i < $3 * 10; i++)); do
		[ -s "$1" ] && return 0
		kill -0 "$2" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

# build_coffer sets $coffer: the program under test, built as it is released.
build_coffer() {
	if [ -n "${COFFER:-}" ]; then
		coffer=$COFFER
		return
	fi
	coffer=$scratch/coffer
	(cd "$root" && CGO_ENABLED=0 go build -o "$coffer" ./cmd/coffer)
}

# start_coffer ARGS...: a server on free ports with its own data directory and
# unseal key. Sets $data, $ready, $server (its pid) and $address (host:port).
start_coffer() {
	data=$scratch/data
	ready=$scratch/ready.json
	rm -f "$ready"
	"$coffer" serve --data "$data" --blob-port 0 --management-port 0 \
		--unseal-key "$scratch/unseal.key" --ready-file "$ready" "$@" >"$scratch/server.log" 2>&1 &
	server=$!
	pids+=("$server")
	if ! wait_file "$ready" "$server" 60; then
		tail -n 30 "$scratch/server.log" >&2
		say "the server did not start"
		return 1
	fi
	address=$(sed -n 's,.*"blob": *"[a-z]*://\([^"/]*\).*,\1,p' "$ready")
	# Where encryption scopes are made: clients have no other way to.
	COFFER_MANAGEMENT=$(sed -n 's,.*"management": *"\([^"]*\)".*,\1,p' "$ready")
	export COFFER_MANAGEMENT
	[ -n "$address" ] || { cat "$ready" >&2; say "no blob endpoint in the ready file"; return 1; }
}

# stop_coffer: SIGTERM must end it cleanly.
stop_coffer() {
	local status=0
	kill -TERM "$server"
	wait "$server" || status=$?
	if [ "$status" -ne 0 ]; then
		tail -n 30 "$scratch/server.log" >&2
		say "the server ended with status $status"
		return 1
	fi
}

# forget_store: the next start_coffer makes a new store. Key files go with it,
# for a key file of another store is refused.
forget_store() { rm -rf "$data" "$scratch"/unseal*.key; }

# peak_rss PID: high-water mark of resident memory, MiB.
peak_rss() { awk '/^VmHWM:/ { printf "%d", $2 / 1024 }' "/proc/$1/status" 2>/dev/null || echo 0; }
