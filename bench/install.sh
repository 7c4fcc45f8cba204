#!/usr/bin/env bash
# Brings the peers of `make bench` here: nginx and fio as packages of the distribution
# (Debian and its kin, as root), Azurite and MinIO in pinned versions into .cache/bench.
# What is there in the right version is left alone. Whatever cannot be had is named, and
# run.sh does without it. Where there is an init system the package of nginx starts a server
# of its own at port 80, which is no part of this.
#
#	bench/install.sh [nginx fio azurite minio]      default: all; MinIO takes minutes to build
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=peers.sh
. "$here/peers.sh"
PATH=$PATH:/usr/sbin

say() { printf 'bench: %s\n' "$*" >&2; }

# package NAME: whatever brings the command of that name.
package() {
	command -v "$1" >/dev/null && return
	[ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return
	local name=$1
	[ "$name" != nginx ] || name=nginx-light
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -y --no-install-recommends "$name" >&2 ||
		{ apt-get update >&2 && apt-get install -y --no-install-recommends "$name" >&2; }
}

azurite() {
	[ -e "$peers/azurite-$azurite_version.done" ] && return
	rm -rf "$peers/azurite"
	npm install --prefix "$peers/azurite" --no-audit --no-fund "azurite@$azurite_version" >&2 &&
		: >"$peers/azurite-$azurite_version.done"
}

minio() {
	[ -e "$peers/minio-$minio_version.done" ] && return
	GOBIN=$peers/bin CGO_ENABLED=0 GOFLAGS=-mod=mod go install "github.com/minio/minio@$minio_version" &&
		: >"$peers/minio-$minio_version.done"
}

mkdir -p "$peers/bin"
[ $# -gt 0 ] || set -- nginx fio azurite minio
for p in "$@"; do
	case $p in
	nginx | fio) package "$p" ;;
	azurite | minio) "$p" ;;
	*) say "no peer $p" && exit 2 ;;
	esac || say "$p: not to be had here; its column stays empty"
done
