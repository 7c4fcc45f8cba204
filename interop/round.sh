#!/usr/bin/env bash
# The round of a customer's key, by each family of management clients against a server
# built from this tree, over TLS: vault, key, identity, grant, account under the key,
# upload, the tokens of a client, of a SAS and of a managed identity, rotate, disable,
# refused, enable, read. Prints a matrix; any failure ends it with a non-zero status.
#
#	interop/round.sh [go|js|python]...     default: all
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh
. ./install.sh

wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=(go js python)

install_round "${wanted[@]}"
build_coffer
start_coffer --key-cache 1s --key-version-check 1s
eval "$("$coffer" env --shell sh --data "$data")"
# The client: an owner of the subscription, as a person with an Azure account is.
eval "$("$coffer" identity create robot --data "$data" | grep '^  export')"
COFFER_OBJECT_ID=$("$coffer" identity show robot --json --data "$data" | sed -n 's,.*"objectId": *"\([^"]*\)".*,\1,p')
export COFFER_OBJECT_ID
"$coffer" role assign robot Owner /subscriptions/00000000-0000-0000-0000-000000000000 --data "$data" >/dev/null
# What programs on this machine get tokens as, without any credential.
"$coffer" identity create machine --managed --data "$data" >/dev/null
"$coffer" identity attach machine --data "$data" >/dev/null
COFFER_MACHINE_ID=$("$coffer" identity show machine --json --data "$data" | sed -n 's,.*"objectId": *"\([^"]*\)".*,\1,p')
export COFFER_MACHINE_ID

reports=()
for name in "${wanted[@]}"; do
	file=$scratch/round-$name.tsv
	say "the round with $name"
	case $name in
	go) run=("$cache/bin/round") ;;
	js)
		cp "$interop"/js-round/*.mjs "$interop/js/report.mjs" "$cache/js-round/"
		run=("$cache/js/node_modules/node/bin/node" "$cache/js-round/round.mjs")
		;;
	python) run=(env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$interop/python" "$cache/venv-round/bin/python" "$interop/python-round/round.py") ;;
	*) say "unknown client $name"; exit 2 ;;
	esac
	timeout 120 "${run[@]}" >"$file" 2>"$file.err" || true
	grep -q '^done' "$file" || tail -n 20 "$file.err" >&2
	reports+=("$name/https=$file")
done

status=0
"$cache/bin/matrix" "${reports[@]}" || status=1
stop_coffer || status=1
exit $status
