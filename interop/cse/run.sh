#!/usr/bin/env bash
# Client-side encryption with the real SDKs of other languages, over TLS, both ways.
#
#	interop/cse/run.sh [python|java|vault|probe|bench]...     default: python java vault probe
#
# Every SDK writes, package cse reads; package cse writes, every SDK reads: 0, 1, D-1, D,
# D+1, 3D+7 bytes, whole and in ranges, under AES and RSA keys. vault does so with keys in
# a vault of the server, in Go, Python and by command. probe asks the SDKs what
# spec/client-side-encryption.md leaves open. bench compares speeds, SIZE=1GiB or other.
#
# SDKs are installed, pinned, into COFFER_INTEROP_CACHE. Needs Go, Python 3 with venv, a
# JDK with Maven, and the package registries the first time.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."
. ./lib.sh

# blob:queue. 12.13.0 is the first with 2.0, 12.12.0 the last without.
python_sdks="12.31.1:12.18.1 12.13.0:12.4.0 12.12.0:12.3.0"
python_other="cryptography==50.0.2 six==1.17.0"
# Those that are run with a vault, and what they are given for it.
python_vault="12.31.1 12.13.0"
python_vault_other="azure-keyvault-keys==4.11.3 azure-identity==1.27.0"
# 12.27.1 is of the first with 2.1, 12.23.0 has the older JSON reader, 12.15.0 is before 2.0.
java_sdks="12.32.1 12.27.1 12.23.0 12.15.0"

wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=(python java vault probe)
has() { printf '%s\n' "${wanted[@]}" | grep -qx "$1"; }

venv() { echo "$cache/cse/python-$1"; }

install_python_sdk() { # BLOB QUEUE
	local at
	at=$(venv "$1")
	[ -f "$at/stamp-$2" ] && return
	python3 -m venv "$at"
	# shellcheck disable=SC2086
	"$at/bin/pip" -q install --disable-pip-version-check "azure-storage-blob==$1" "azure-storage-queue==$2" $python_other
	touch "$at/stamp-$2"
}

install_python_vault() { # BLOB
	local at
	at=$(venv "$1")
	[ -f "$at/stamp-vault" ] && return
	# shellcheck disable=SC2086
	"$at/bin/pip" -q install --disable-pip-version-check $python_vault_other
	touch "$at/stamp-vault"
}

install_java_sdk() { # VERSION
	local at=$cache/cse/java-$1
	if [ ! -f "$at/stamp" ]; then
		mkdir -p "$at"
		cat >"$at/pom.xml" <<-POM
			<project xmlns="http://maven.apache.org/POM/4.0.0">
			<modelVersion>4.0.0</modelVersion><groupId>coffer</groupId><artifactId>interop</artifactId><version>1</version>
			<dependencies><dependency><groupId>com.azure</groupId>
			<artifactId>azure-storage-blob-cryptography</artifactId><version>$1</version></dependency></dependencies>
			</project>
		POM
		(cd "$at" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib)
		touch "$at/stamp"
	fi
	mkdir -p "$at/classes"
	javac -nowarn -Xlint:none -cp "$at/lib/*" -d "$at/classes" "$here/java/Sdk.java" 2>/dev/null
}

java_sdk() { # VERSION ARGS...
	local at=$cache/cse/java-$1
	shift
	java -Djavax.net.ssl.trustStore="$scratch/trust.jks" -Djavax.net.ssl.trustStorePassword=changeit \
		-cp "$at/classes:$at/lib/*" Sdk "$@" 2>"$scratch/java.err"
}

python_sdk() { # VERSION ARGS...
	local at
	at=$(venv "$1")
	shift
	"$at/bin/python" -B "$here/python/sdk.py" "$@" 2>"$scratch/python.err"
}

results=$scratch/results.tsv

# part NAME COMMAND...: keeps the lines of one run, named; the exit status only repeats them.
part() {
	local name=$1 began=$SECONDS out=$scratch/part
	shift
	timeout 600 "$@" >"$out" || true
	if ! grep -q '^\(ok\|fail\|note\|bench\)' "$out"; then
		printf 'fail\t%s: nothing came back\n' "$name" >>"$out"
	fi
	awk -v name="$name" -F"\t" 'BEGIN { OFS = FS } /^(ok|fail|note|bench)\t/ { $2 = name ": " $2; print }' "$out" >>"$results"
	say "$name: $(grep -c '^ok' "$out" || true) ok, $(grep -c '^fail' "$out" || true) failed, $((SECONDS - began)) s"
	grep '^\(fail\|note\|bench\)' "$out" || true
}
export -f java_sdk python_sdk venv
export here cache scratch

# migrated PREFIX: from 1.0 to 2.0 by command, all under the AES key.
migrated() {
	local said
	said=$("$coffer" cse migrate "cse/$1" --key "$CSE_AES_KEY" --key-id aes1 --other-key "rsa1=$CSE_RSA_KEY")
	if [[ $said == "12 migrated"*" 0 failed" ]]; then
		printf 'ok\tmigrated %s\n' "$1" >>"$results"
	else
		printf 'fail\tmigrated %s: %s\n' "$1" "$said" >>"$results"
	fi
	say "$1: $said"
}

say "installing what is not there yet"
if has python || has vault || has probe || has bench; then
	for v in $python_sdks; do install_python_sdk "${v%%:*}" "${v##*:}"; done
fi
if has vault; then
	for v in $python_vault; do install_python_vault "$v"; done
fi
if has java || has probe || has bench; then
	for v in $java_sdks; do install_java_sdk "$v"; done
fi
(cd "$here" && CGO_ENABLED=0 go build -o "$scratch/cse" .)
build_coffer
start_coffer
eval "$("$coffer" env --shell sh --data "$data")"
openssl rand -base64 32 >"$scratch/aes.key"
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$scratch/rsa.pem" 2>/dev/null ||
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$scratch/rsa.pem" 2>/dev/null
export CSE_AES_KEY=$scratch/aes.key CSE_RSA_KEY=$scratch/rsa.pem
ca=$(sed -n 's,.*"tls_ca": *"\([^"]*\)".*,\1,p' "$ready")
keytool -importcert -noprompt -alias coffer -file "$ca" -keystore "$scratch/trust.jks" -storepass changeit 2>/dev/null

d=4194304
part "go writes 2.0" "$scratch/cse" write go 2.0 $d
part "go writes 2.1" "$scratch/cse" write go21 2.1 65536
part "go reads its own" "$scratch/cse" read go

if has python; then
	for v in $python_sdks; do
		b=${v%%:*}
		if [ "$b" != 12.12.0 ]; then
			part "python $b writes 2.0" bash -c 'python_sdk "$@"' - "$b" write "py$b" 2.0
			part "go reads python $b" "$scratch/cse" read "py$b"
			part "python $b reads go" bash -c 'python_sdk "$@"' - "$b" read go
			part "python queue ${v##*:} writes" bash -c 'python_sdk "$@"' - "$b" queue-write "$scratch/q1"
			part "go reads its messages" "$scratch/cse" queue-read "$scratch/q1"
			part "go writes messages" "$scratch/cse" queue-write "$scratch/q2"
			part "python queue ${v##*:} reads them" bash -c 'python_sdk "$@"' - "$b" queue-read "$scratch/q2"
		fi
		part "python $b writes 1.0" bash -c 'python_sdk "$@"' - "$b" write "v1py$b" 1.0
		part "go reads python $b, 1.0" "$scratch/cse" read "v1py$b"
	done
	migrated v1py12.12.0
	part "go reads what was migrated" "$scratch/cse" read v1py12.12.0
	part "python 12.31.1 reads what was migrated" bash -c 'python_sdk "$@"' - 12.31.1 read "v1py12.12.0/$d-1.0/aes1"
	part "python 12.31.1 reads go, 2.1" bash -c 'python_sdk "$@"' - 12.31.1 read go21
fi

if has java; then
	for v in $java_sdks; do
		if [ "$v" = 12.15.0 ]; then
			part "java $v writes 1.0" bash -c 'java_sdk "$@"' - "$v" write "v1java$v" 1.0 $d
			part "go reads java $v, 1.0" "$scratch/cse" read "v1java$v"
			migrated "v1java$v"
			part "java 12.32.1 reads what was migrated" bash -c 'java_sdk "$@"' - 12.32.1 read "v1java$v/$d-1.0/aes1"
			continue
		fi
		part "java $v writes 2.0" bash -c 'java_sdk "$@"' - "$v" write "java$v" 2.0 $d
		part "go reads java $v" "$scratch/cse" read "java$v"
		part "java $v reads go" bash -c 'java_sdk "$@"' - "$v" read go
		if [ "$v" != 12.23.0 ]; then
			part "java $v writes 2.1" bash -c 'java_sdk "$@"' - "$v" write "java21-$v" 2.1 65536
			part "java $v writes 2.1, regions of 1000" bash -c 'java_sdk "$@"' - "$v" write "java21-$v" 2.1 1000
			part "go reads java $v, 2.1" "$scratch/cse" read "java21-$v"
			part "java $v reads go, 2.1" env CSE_VERSION=2.1 bash -c 'java_sdk "$@"' - "$v" read go21
		fi
	done
fi

if has vault; then
	. "$here/vault.sh"
fi

if has probe; then
	"$scratch/cse" swap "go/$d-2.0/aes1/12582919" probe/swapped
	for p in top WrappedContentKey EncryptionAgent EncryptedRegionInfo KeyWrappingMetadata; do
		"$scratch/cse" member "go/$d-2.0/aes1/1" "probe/unknown-$p" "$p"
	done
	for v in $python_sdks; do
		[ "${v%%:*}" = 12.12.0 ] || part "python ${v%%:*}" bash -c 'python_sdk "$@"' - "${v%%:*}" misordered probe/swapped
	done
	for v in $java_sdks; do
		[ "$v" = 12.15.0 ] && continue
		part "java $v" bash -c 'java_sdk "$@"' - "$v" empty "empty$v"
		part "java $v" bash -c 'java_sdk "$@"' - "$v" probe probe/swapped
		for p in top WrappedContentKey EncryptionAgent EncryptedRegionInfo KeyWrappingMetadata; do
			part "java $v" bash -c 'java_sdk "$@"' - "$v" probe "probe/unknown-$p"
		done
	done
fi

if has bench; then
	. "$here/bench.sh"
fi

stop_coffer
passed=$(grep -c '^ok' "$results" || true)
failed=$(grep -c '^fail' "$results" || true)
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
