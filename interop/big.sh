#!/usr/bin/env bash
# A file of 10 GiB up and down through the Go client, 8 MiB blocks, 8 in flight,
# compared by hash, with the server's memory bounded.
#
#	interop/big.sh [SIZE] [MAX-RSS-MIB]      default: 10GiB 128
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh

size=${1:-10GiB} bound=${2:-128}
(cd "$interop" && CGO_ENABLED=0 go build -o "$scratch/big" ./big)
build_coffer
start_coffer
eval "$("$coffer" env --shell sh --data "$data")"
export AZURE_STORAGE_CONNECTION_STRING=$COFFER_HTTP_CONNECTION_STRING
"$scratch/big" -size "$size" -pid "$server" -max-rss "$bound"
stop_coffer
