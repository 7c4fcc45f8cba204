#!/usr/bin/env bash
# Measures a server built from this tree against the null server and, when it
# is installed, nginx, in turn on the same machine, and prints a table of
# ratios.
#
#	bench/run.sh [PASSES]      default: 3
#
# BENCH_DUR (2s), BENCH_CONC (1,8,32), BENCH_BIG (1073741824), BENCH_LIST
# (10000) and BENCH_WORK choose a smaller run; BENCH_OUT keeps the results (one
# JSON object a line); BENCH_PROFILE=DIR then profiles the server by workload
# (profile.sh).
set -euo pipefail
cd "$(dirname "$0")"
. ../interop/lib.sh

passes=${1:-3}
out=${BENCH_OUT:-$scratch/results.jsonl}
: >"$out"
big=${BENCH_BIG:-1073741824} list=${BENCH_LIST:-10000}
options=(-dur "${BENCH_DUR:-2s}" -conc "${BENCH_CONC:-1,8,32}" -big "$big" -list "$list")
[ -z "${BENCH_WORK:-}" ] || options+=(-work "$BENCH_WORK")
CGO_ENABLED=0 go build -o "$scratch/" . ./nullserver
build_coffer

start_null() {
	rm -f "$scratch/null"
	"$scratch/nullserver" -ready-file "$scratch/null" -big "$big" -list "$list" &
	server=$!
	pids+=("$server")
	wait_file "$scratch/null" "$server" 20
}

# nginx with as many workers as cores, sendfile and DAV PUT, nothing synced.
# tcp_nopush stays off: it stalls small ranges.
start_nginx() {
	mkdir -p "$scratch/nginx/root" "$scratch/nginx/tmp"
	nginx_port=$(free_port)
	cat >"$scratch/nginx/conf" <<-CONF
		daemon off; pid $scratch/nginx/pid; error_log $scratch/nginx/error.log; worker_processes auto;
		$([ "$(id -u)" -ne 0 ] || echo 'user root;')
		events { worker_connections 1024; }
		http {
			access_log off; sendfile on; keepalive_requests 1000000; client_max_body_size 0;
			client_body_temp_path $scratch/nginx/tmp;
			server {
				listen 127.0.0.1:$nginx_port;
				root $scratch/nginx/root;
				location / { dav_methods PUT DELETE; create_full_put_path on; }
			}
		}
	CONF
	nginx -c "$scratch/nginx/conf" -p "$scratch/nginx" 2>"$scratch/nginx/start.log" &
	server=$!
	pids+=("$server")
	local i
	for ((i = 0; i < 100; i++)); do
		[ -s "$scratch/nginx/pid" ] && break
		sleep 0.1
	done
	# Whoever answers must be the one started here.
	[ "$(cat "$scratch/nginx/pid")" = "$server" ]
}

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

end_server() {
	kill -TERM "$server"
	wait_gone "$server" 40
	wait "$server" || true
}

bench() { "$scratch/bench" "${options[@]}" -json "$out" "$@"; }

coffer_key() {
	eval "$("$coffer" env --shell sh --data "$data")"
	printf '%s' "$COFFER_HTTP_CONNECTION_STRING" | tr ';' '\n' | sed -n 's/^AccountKey=//p'
}

bases=null
for ((pass = 1; pass <= passes; pass++)); do
	say "pass $pass of $passes"
	start_null
	BENCH_ACCOUNT_KEY=bnVsbA== bench -label null -endpoint "http://$(cat "$scratch/null")/devstoreaccount1" -pid "$server"
	end_server
	if command -v nginx >/dev/null; then
		bases=null,nginx
		start_nginx
		bench -label nginx -driver http -endpoint "http://127.0.0.1:$nginx_port" \
			-pid "$server,$(pgrep -P "$server" | paste -sd, -)"
		end_server
		rm -rf "$scratch/nginx"
	else
		say "nginx is not installed: no ratios to it"
	fi
	start_coffer
	BENCH_ACCOUNT_KEY=$(coffer_key) bench -label coffer -endpoint "http://$address/devstoreaccount1" -pid "$server"
	stop_coffer
	forget_store # each pass starts from an empty one
done

echo
"$scratch/bench" -table "$out" -base "$bases" -of coffer

if [ -n "${BENCH_PROFILE:-}" ]; then
	"$PWD/profile.sh" "$BENCH_PROFILE"
fi
