#!/usr/bin/env bash
# Measures a server built from this tree against its peers, in turns on the same machine,
# and prints one Markdown table: medians, spread, server CPU, memory, ratios, targets.
#
#	bench/run.sh [PART]...      default: all; small large tls list segment verify fips growth
#	bench/run.sh report         only the table of BENCH_OUT
#
# The null server always takes part, nginx, fio, MinIO and Azurite when they are there:
# bench/install.sh brings them. With BENCH_OUT=FILE results are kept (one JSON object a
# line) and parts may be run one by one; of a part that was run again the last run counts.
# BENCH_ROUNDS (9), BENCH_DUR (1s), BENCH_BIG (1073741824), BENCH_LIST (10000), BENCH_VERIFY
# (4294967296) and BENCH_GROWTH (10000,100000,1000000) choose a smaller run; BENCH_DIR is where
# the servers store (default: where mktemp puts it). COFFER and COFFER_FIPS name programs
# that are built already.
set -euo pipefail
cd "$(dirname "$0")"
. ../interop/lib.sh
. ./peers.sh

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(small large tls list segment verify fips growth)
out=${BENCH_OUT:-$scratch/results.jsonl}
CGO_ENABLED=0 go build -o "$scratch/" . ./nullserver
if [ "${parts[*]}" = report ]; then
	"$scratch/bench" -report "$out"
	exit
fi

# wanted PART: it is one of those to run.
wanted() { case " ${parts[*]} " in *" $1 "*) return 0 ;; esac && return 1; }

options=(-rounds "${BENCH_ROUNDS:-9}" -dur "${BENCH_DUR:-1s}" -big "${BENCH_BIG:-1073741824}" -list "${BENCH_LIST:-10000}"
	-verify "${BENCH_VERIFY:-4294967296}" -growth "${BENCH_GROWTH:-10000,100000,1000000}")
versions=()

build_coffer
options+=(-coffer "$coffer" -null "$scratch/nullserver")
if wanted fips; then
	fips=${COFFER_FIPS:-}
	if [ -z "$fips" ]; then
		fips=$scratch/coffer-fips
		(cd "$root" && GOFIPS140=v1.0.0 CGO_ENABLED=0 go build -o "$fips" ./cmd/coffer)
	fi
	options+=(-fips "$fips")
fi
if wanted segment; then
	(cd "$root" && CGO_ENABLED=0 go test -c -o "$scratch/segment.test" ./internal/crypt/segment)
	options+=(-segment "$scratch/segment.test")
fi

PATH=$PATH:/usr/sbin
if command -v nginx >/dev/null; then
	options+=(-nginx "$(command -v nginx)")
	versions+=("$(nginx -v 2>&1 | sed 's,.*nginx/,nginx ,')")
fi
if command -v fio >/dev/null; then
	options+=(-fio "$(command -v fio)")
	versions+=("$(fio --version | sed 's/fio-/fio /')")
fi
if [ -e "$peers/minio-$minio_version.done" ]; then
	options+=(-minio "$peers/bin/minio")
	versions+=("MinIO $minio_version")
fi
if [ -e "$peers/azurite-$azurite_version.done" ] && command -v node >/dev/null; then
	options+=(-azurite "$peers/azurite/node_modules/azurite/dist/src/blob/main.js")
	versions+=("Azurite $azurite_version on Node $(node --version | tr -d v)")
fi
versions+=("$(sed -n 's,.*\(azblob\|minio-go/v7\) v\(.*\),\1 \2,p' go.mod | sed 's,/v7,,' | paste -sd, - | sed 's/,/, /')")

BENCH_COMMIT=$(git -C "$root" describe --always --dirty 2>/dev/null || echo unknown)
BENCH_VERSIONS=$(printf '%s, ' "${versions[@]}" | sed 's/, $//')
export BENCH_COMMIT BENCH_VERSIONS

store=$(mktemp -d ${BENCH_DIR:+-p "$BENCH_DIR"})
forget() { rm -rf "$store"; }
at_cleanup forget

# Each part is a process of its own: one that fails does not take the others with it.
failed=()
for part in "${parts[@]}"; do
	"$scratch/bench" -part "$part" -dir "$store" -json "$out" "${options[@]}" || failed+=("$part")
	rm -rf "${store:?}/$part"
done
echo
"$scratch/bench" -report "$out"
if [ ${#failed[@]} -gt 0 ]; then
	say "failed: ${failed[*]}"
	exit 1
fi
