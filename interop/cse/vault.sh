# Sourced by run.sh: the keys are in a vault of the server itself, RSA by RSA-OAEP-256 and
# by RSA-OAEP, and used by a principal with an access policy: package cse by azkeys and
# azidentity, the Python SDK by azure-keyvault-keys and azure-identity, and coffer cse by
# a token.

# value NAME: a string of the JSON that comes in.
value() { sed -n "s,.*\"$1\": *\"\([^\"]*\)\".*,\1,p" | head -n 1; }

# Names below localhost are not this machine for every resolver.
(cd "$interop" && go build -o "$scratch/connectproxy" ./connectproxy)
"$scratch/connectproxy" -ready-file "$scratch/proxy" \
	-map "box.vault.localhost:*=$(value vault <"$ready" | sed 's,.*//,,')" 2>"$scratch/proxy.log" &
pids+=($!)
wait_file "$scratch/proxy" "$!" 20

"$coffer" vault create box --access-policies --data "$data" >/dev/null
first=$("$coffer" vault key create box k --data "$data" --json | value id)
"$coffer" identity create app --data "$data" --json >"$scratch/app.json"
"$coffer" vault allow box app --data "$data" >/dev/null

# said NAME WORDS WORDS COMMAND...: ok if the command fails and says both.
said() {
	local name=$1 one=$2 other=$3
	shift 3
	if "$@" >"$scratch/said" 2>&1 || ! grep -q "$one" "$scratch/said" || ! grep -q "$other" "$scratch/said"; then
		printf 'fail\t%s: %s\n' "$name" "$(tr '\n' ' ' <"$scratch/said")"
	else
		printf 'ok\t%s\n' "$name"
	fi
}

# named BLOB KEY ALGORITHM: ok if the blob says that these wrapped its content key.
named() {
	local said
	said=$("$coffer" cse inspect "$1" | tr '\n' ' ')
	if [[ "$said" == *"\"$2\" by $3 "* ]]; then
		printf 'ok\tinspect %s\n' "$1"
	else
		printf 'fail\tinspect %s: %s\n' "$1" "$said"
	fi
}

# old_by_command: a URL without a version names the new one; the old is found beside it.
old_by_command() {
	local from=cse/vault-go/$d-2.0/RSA-OAEP-256/$((3 * d + 7))
	"$coffer" cse download "$from" "$scratch/old" --vault-key "${first%/*}" --vault-token "$scratch/token" >/dev/null
	if cmp -s "$scratch/plain" "$scratch/old"; then printf 'ok\tdownload %s\n' "$from"; else printf 'fail\tdownload %s\n' "$from"; fi
}

# by_command: a blob of package cse to a file, and the file up by each algorithm.
by_command() {
	local with=(--vault-key "$first" --vault-token "$scratch/token") from=cse/vault-go/$d-2.0/RSA-OAEP-256/$((3 * d + 7)) a to
	"$coffer" cse download "$from" "$scratch/plain" "${with[@]}" >/dev/null
	for a in RSA-OAEP-256 RSA-OAEP; do
		to=cse/vault-command/$d-2.0/$a/$((3 * d + 7))
		"$coffer" cse upload "$scratch/plain" "$to" "${with[@]}" --wrap-algorithm "$a" >/dev/null
		named "$to" "$first" "$a"
		"$coffer" cse download "$to" "$scratch/back" "${with[@]}" >/dev/null
		if cmp -s "$scratch/plain" "$scratch/back"; then printf 'ok\tdownload %s\n' "$to"; else printf 'fail\tdownload %s\n' "$to"; fi
	done
}

# token: what a user brings to coffer cse.
token() {
	curl -sS --fail --cacert "$ca" "${AZURE_AUTHORITY_HOST%/}/$AZURE_TENANT_ID/oauth2/v2.0/token" --data @- <<-FORM | value access_token
		grant_type=client_credentials&client_id=$AZURE_CLIENT_ID&client_secret=$AZURE_CLIENT_SECRET&scope=https%3A%2F%2Fvault.localhost%2F.default
	FORM
}

# away HOW: nobody reads.
away() {
	local blob=vault-go/$d-2.0/RSA-OAEP-256/1
	part "$1, go" "$scratch/cse" refused "$blob"
	for b in $python_vault; do part "$1, python $b" bash -c 'python_sdk "$@"' - "$b" refused "$blob"; done
	part "$1, command" bash -c 'said "$@"' - "refused $blob" "key not available: .*box.vault.localhost" "403 Forbidden" \
		"$coffer" cse download "cse/$blob" "$scratch/none" --vault-key "$first" --vault-token "$scratch/token"
}

with_vault() {
	part "vault: go writes" "$scratch/cse" write vault-go 2.0 "$d"
	part "vault: go reads its own" "$scratch/cse" read vault-go
	part "vault: go writes messages" "$scratch/cse" queue-write "$scratch/vq"
	for b in $python_vault; do
		part "vault: python $b reads go" bash -c 'python_sdk "$@"' - "$b" read vault-go
		part "vault: python $b writes" bash -c 'python_sdk "$@"' - "$b" write "vault-py$b" 2.0
		part "vault: go reads python $b" "$scratch/cse" read "vault-py$b"
		part "vault: python $b reads messages" bash -c 'python_sdk "$@"' - "$b" queue-read "$scratch/vq"
		part "vault: python $b writes messages" bash -c 'python_sdk "$@"' - "$b" queue-write "$scratch/vq$b"
		part "vault: go reads them" "$scratch/cse" queue-read "$scratch/vq$b"
	done
	part "vault: command" bash -c by_command
	part "vault: go reads what the command wrote" "$scratch/cse" read vault-command
	part "vault: python 12.31.1 reads it" bash -c 'python_sdk "$@"' - 12.31.1 read vault-command

	# A new version, by the URL without one. What the old one wrapped is still read.
	second=$("$coffer" vault key rotate box k --data "$data" --json | value id)
	[ "$second" != "$first" ]
	CSE_VAULT_KEY=${first%/*}
	part "vault: go writes after a rotation" "$scratch/cse" write vault-go-new 2.0 "$d"
	part "vault: the version it names" bash -c 'named "$@"' - "cse/vault-go-new/$d-2.0/RSA-OAEP/1" "$second" RSA-OAEP
	part "vault: python 12.31.1 reads it" bash -c 'python_sdk "$@"' - 12.31.1 read vault-go-new
	part "vault: python 12.31.1 writes after a rotation" bash -c 'python_sdk "$@"' - 12.31.1 write vault-py-new 2.0
	part "vault: the version it names" bash -c 'named "$@"' - "cse/vault-py-new/$d-2.0/RSA-OAEP/1" "$second" RSA-OAEP
	part "vault: go reads it" "$scratch/cse" read vault-py-new
	part "vault: python 12.31.1 reads the old" bash -c 'python_sdk "$@"' - 12.31.1 read vault-go
	part "vault: go reads the old" "$scratch/cse" read vault-go
	part "vault: command reads the old" bash -c old_by_command
	CSE_VAULT_KEY=$first

	"$coffer" vault deny box app --data "$data" >/dev/null
	away "vault: without a policy"
	"$coffer" vault allow box app --data "$data" >/dev/null
	"$coffer" vault key disable box k --data "$data" >/dev/null
	away "vault: disabled"
	"$coffer" vault key enable box k --data "$data" >/dev/null
	part "vault: go reads again" "$scratch/cse" read vault-go
}

# Only here are the principal and the proxy in the environment.
(
	AZURE_TENANT_ID=$(value tenantId <"$scratch/app.json")
	AZURE_CLIENT_ID=$(value clientId <"$scratch/app.json")
	AZURE_CLIENT_SECRET=$(value secret <"$scratch/app.json")
	CSE_VAULT_KEY=$first HTTPS_PROXY=http://$(cat "$scratch/proxy") NO_PROXY=127.0.0.1
	export AZURE_TENANT_ID AZURE_CLIENT_ID AZURE_CLIENT_SECRET CSE_VAULT_KEY HTTPS_PROXY NO_PROXY
	(umask 077 && token >"$scratch/token")
	export -f by_command old_by_command named said
	export coffer first d
	with_vault
)
