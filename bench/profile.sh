#!/usr/bin/env bash
# Where the server's CPU time goes: a CPU profile of each workload, by its top
# entries.
#
#	bench/profile.sh DIR [WORKLOAD]...     default: put4k get4k put4m get4m put1g get1g list
#
# A workload with -tls behind its name, as get4m-tls, goes over TLS.
# The profiles are kept as DIR/WORKLOAD.pprof, with the program as DIR/coffer.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
shift
cd "$here"
. ../interop/lib.sh

works=("$@")
[ ${#works[@]} -gt 0 ] || works=(put4k get4k put4m get4m put1g get1g list)
CGO_ENABLED=0 go build -o "$scratch/bench" .
# The program under test, with the profiler laid over its source.
printf '{"Replace": {"%s": "%s"}}\n' "$root/cmd/coffer/bench_profile.go" "$here/_profile/inject.go" >"$scratch/overlay.json"
(cd "$root" && CGO_ENABLED=0 go build -overlay "$scratch/overlay.json" -o "$dir/coffer" ./cmd/coffer)
coffer=$dir/coffer

for work in "${works[@]}"; do
	profile=$dir/$work.pprof
	rm -f "$profile" "$profile.done"
	export BENCH_PROFILE_FILE=$profile
	start_coffer
	eval "$("$coffer" env --shell sh --data "$data")"
	BENCH_ACCOUNT_KEY=$(printf '%s' "$COFFER_HTTP_CONNECTION_STRING" | tr ';' '\n' | sed -n 's/^AccountKey=//p')
	export BENCH_ACCOUNT_KEY
	conc=8
	case ${work%-tls} in list | stream1g) conc=1 ;; esac
	scheme=http transport=()
	if [[ $work = *-tls ]]; then
		scheme=https transport=(-stock)
		SSL_CERT_FILE=$(sed -n 's,.*"tls_bundle": *"\([^"]*\)".*,\1,p' "$ready")
		export SSL_CERT_FILE
	fi
	"$scratch/bench" -profile -label coffer -endpoint "$scheme://$address/devstoreaccount1" "${transport[@]}" -pid "$server" -work "${work%-tls}" \
		-conc $conc -dur "${BENCH_DUR:-5s}" -reps 3 | tail -n 1
	wait_file "$profile.done" "$server" 20
	rm -f "$profile.done"
	stop_coffer
	forget_store
	echo "-- $work: top entries of the server"
	go tool pprof -top -nodecount=20 "$coffer" "$profile" 2>/dev/null | sed '1,/flat%/{/flat%/!d}'
done
