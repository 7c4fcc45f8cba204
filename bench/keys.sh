#!/usr/bin/env bash
# What the kinds of keys cost: scopes, customer-provided keys, customer-managed keys and
# infrastructure encryption against content under the account's key, in short turns on
# one server, and the XTS kernels against x/crypto and openssl. Prints tables of ratios.
#
#	bench/keys.sh [ROUNDS]      default: 10, about four minutes
#
# BENCH_DUR (400ms), BENCH_CONC (8) and BENCH_KEY_WORK (put4k,get4k,put4m,get4m)
# choose a smaller run; BENCH_PARTS (tls cmk double fips xts) some of the tables. COFFER and
# COFFER_FIPS name programs that are built already.
set -euo pipefail
cd "$(dirname "$0")"
. ../interop/lib.sh

rounds=${1:-10}
works=${BENCH_KEY_WORK:-put4k,get4k,put4m,get4m}
parts=${BENCH_PARTS:-tls cmk double fips xts}
CGO_ENABLED=0 go build -o "$scratch/" .
build_coffer

# compare SCHEME KINDS BARS: the environment is what a user pastes.
compare() {
	"$scratch/bench" -kinds "$2" -bars "$3" -rounds "$rounds" -dur "${BENCH_DUR:-400ms}" -conc "${BENCH_CONC:-8}" -work "$works" \
		-endpoint "$1://$address/devstoreaccount1" -scope bench -double twice -cmk managed -pid "$server"
}

start_keys() {
	start_coffer
	"$coffer" account create twice --infrastructure-encryption --data "$data" >"$scratch/account"
	"$coffer" scope create devstoreaccount1 bench --data "$data" >"$scratch/scope"
	eval "$("$coffer" env --data "$data" --account twice)"
	export BENCH_DOUBLE_KEY=$AZURE_STORAGE_KEY
	{
		"$coffer" account create managed --data "$data"
		"$coffer" vault create bench --purge-protection --data "$data"
		"$coffer" vault key create bench key --data "$data"
		"$coffer" account update managed --vault-key bench/key --identity system --grant --data "$data"
	} >"$scratch/managed"
	eval "$("$coffer" env --data "$data" --account managed)"
	export BENCH_CMK_KEY=$AZURE_STORAGE_KEY
	eval "$("$coffer" env --data "$data")"
	export BENCH_ACCOUNT_KEY=$AZURE_STORAGE_KEY
}

case " $parts " in
*" tls "* | *" cmk "* | *" double "*)
	start_keys
	case " $parts " in *" tls "*)
		echo "**Own keys, over TLS**" && echo
		compare https account,scope,cpk scope=0.97,cpk=0.97
		echo
		;;
	esac
	case " $parts " in *" cmk "*)
		echo "**A customer-managed key in a vault of the same server, cached, over plain HTTP**" && echo
		compare http account,cmk cmk=0.97
		echo
		;;
	esac
	case " $parts " in *" double "*)
		echo "**Infrastructure encryption, over plain HTTP**" && echo
		compare http account,double double/get4k=0.85,double/get4m=0.85,double/put4k=0.8,double/put4m=0.8
		echo
		;;
	esac
	stop_coffer
	forget_store
	;;
esac
case " $parts " in *" fips "*)
	coffer=${COFFER_FIPS:-}
	if [ -z "$coffer" ]; then
		coffer=$scratch/coffer-fips
		(cd "$root" && GOFIPS140=v1.0.0 CGO_ENABLED=0 go build -o "$coffer" ./cmd/coffer)
	fi
	start_keys
	echo "**Infrastructure encryption in the FIPS build (A256CBC-HS512), over plain HTTP**" && echo
	compare http account,double ""
	echo
	stop_coffer
	;;
esac
case " $parts " in *" xts "*)
	(cd "$root" && CGO_ENABLED=0 go test -c -o "$scratch/xts.test" ./internal/crypt/xts)
	"$scratch/bench" -xts "$scratch/xts.test" -openssl "$(command -v openssl || true)" -rounds "$(((rounds + 1) / 2))"
	;;
esac
