#!/usr/bin/env bash
# `coffer serve --dev` alone in a network namespace of its own: a client at
# another address stores a blob over http and over https within 60 s of the
# start. Linux, as root.
#
#	interop/netns.sh
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh

limit=60
server_ip=10.211.77.1 client_ip=10.211.77.2

if ! command -v ip >/dev/null; then
	apt-get install -y iproute2 >/dev/null
fi
build_coffer
(cd "$interop" && CGO_ENABLED=0 go build -o "$scratch/big" ./big)

ns=coffer$$
remove_namespaces() {
	ip netns del "$ns-server" 2>/dev/null || true
	ip netns del "$ns-client" 2>/dev/null || true
}
at_cleanup remove_namespaces
ip netns add "$ns-server"
ip netns add "$ns-client"
ip link add vs$$ netns "$ns-server" type veth peer name vc$$ netns "$ns-client"
ip -n "$ns-server" addr add $server_ip/30 dev vs$$
ip -n "$ns-client" addr add $client_ip/30 dev vc$$
for side in server client; do
	ip -n "$ns-$side" link set lo up
done
ip -n "$ns-server" link set vs$$ up
ip -n "$ns-client" link set vc$$ up

# Nothing of this user's environment: an empty home and no data directory yet.
mkdir -p "$scratch/home"
began=$(date +%s%N)
elapsed() { echo $((($(date +%s%N) - began) / 1000000)); }
(cd "$scratch/home" && exec env -i PATH="$PATH" HOME="$scratch/home" TMPDIR="$scratch" \
	ip netns exec "$ns-server" "$coffer" serve --dev) >"$scratch/server.log" 2>&1 &
server=$!
pids+=("$server")

key=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==

# store SCHEME: tries until the blob is stored, the server dies or time is up.
store() {
	local scheme=$1
	export AZURE_STORAGE_CONNECTION_STRING="DefaultEndpointsProtocol=$scheme;AccountName=devstoreaccount1;AccountKey=$key;BlobEndpoint=$scheme://$server_ip:10000/devstoreaccount1;"
	while :; do
		# The CA of a development store: the server says where it lies.
		SSL_CERT_FILE=$(grep -o '/[^ "]*ca\.pem' "$scratch/server.log" | head -n 1 || true)
		export SSL_CERT_FILE
		if timeout 20 ip netns exec "$ns-client" "$scratch/big" -size 1MiB -block 256KiB >"$scratch/client.log" 2>&1; then
			break
		fi
		if ! kill -0 "$server" 2>/dev/null || [ "$(elapsed)" -gt $((limit * 1000)) ]; then
			tail -n 20 "$scratch/server.log" "$scratch/client.log" >&2
			say "no blob stored over $scheme within $limit s"
			return 1
		fi
		sleep 0.2
	done
	echo "a blob over $scheme from $client_ip: stored and read back $(elapsed) ms after the start"
}
store http
store https
stop_coffer
