#!/usr/bin/env bash
# The round of a customer's key by the unmodified Azure CLI against a server built from
# this tree, over TLS, as a cloud of its own: register, log in, vault, key, identity,
# grant, account under the key, upload, rotate, disable, refused, enable, read. Prints a
# matrix; any failure ends it with a non-zero status.
#
# The CLI is told one address, which CA to trust, not to ask the public cloud whether it
# knows ours (instance discovery), and a proxy that leads names below localhost here:
# resolvers that do that by themselves need none.
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh
. ./install.sh
. ./report.sh

install_azcli
build_coffer
start_coffer --key-cache 1s --key-version-check 1s
say "a call of the CLI takes seconds: the round takes some minutes"

eval "$("$coffer" env --shell sh --data "$data")"
unset AZURE_STORAGE_CONNECTION_STRING AZURE_STORAGE_ACCOUNT AZURE_STORAGE_KEY
eval "$("$coffer" identity create robot --data "$data" | grep '^  export')"
me=$("$coffer" identity show robot --json --data "$data" | sed -n 's,.*"objectId": *"\([^"]*\)".*,\1,p')
sub=/subscriptions/00000000-0000-0000-0000-000000000000
"$coffer" role assign robot Owner "$sub" --data "$data" >/dev/null

vaults=$(sed -n 's,.*"vault": *"https://\([^"/]*\)".*,\1,p' "$ready")
"$cache/bin/connectproxy" -ready-file "$scratch/proxy" -map "*.localhost:${vaults##*:}=$vaults" -map "*.localhost:${address##*:}=$address" 2>"$scratch/proxy.log" &
pids+=($!)
wait_file "$scratch/proxy" "$!" 20
HTTPS_PROXY=http://$(cat "$scratch/proxy")
export HTTPS_PROXY NO_PROXY=127.0.0.1
export AZURE_CONFIG_DIR=$scratch/azure AZURE_CORE_INSTANCE_DISCOVERY=false
export AZURE_CORE_COLLECT_TELEMETRY=false AZURE_CORE_NO_COLOR=true AZURE_CORE_ONLY_SHOW_ERRORS=true

group=round-azcli vault=round-azcli-v hsm=round-azcli-h account=roundazcli key=switch
at=$sub/resourceGroups/$group/providers
vault_id=$at/Microsoft.KeyVault/vaults/$vault
asks=$at/Microsoft.ManagedIdentity/userAssignedIdentities/asks
account_id=$at/Microsoft.Storage/storageAccounts/$account

az() { timeout 120 "$cache/venv-azcli/bin/az" "$@" --output tsv </dev/null; }

# again COMMAND...: until it ends well, 30 s at most.
again() {
	local end=$((SECONDS + 30))
	until "$@"; do
		[ $SECONDS -lt $end ] || { echo "still not so: $*"; return 1; }
	done
}

give() { # ROLE PRINCIPAL SCOPE
	az role assignment create --role "$1" --assignee-object-id "$2" --assignee-principal-type ServicePrincipal --scope "$3"
}

register() {
	az cloud register --name coffer --endpoint-resource-manager "${COFFER_MANAGEMENT/http:/https:}"
	az cloud set --name coffer
	expect "suffix of vaults" "$(az cloud show --query suffixes.keyvaultDns)" ".vault.localhost:${vaults##*:}"
}

login() {
	az login --service-principal --username "$AZURE_CLIENT_ID" --password "$AZURE_CLIENT_SECRET" --tenant "$AZURE_TENANT_ID"
	expect subscription "$(az account show --query id)" "${sub##*/}"
}

make_vault() {
	az group create --name $group --location local
	az keyvault create --name $vault --resource-group $group --location local --enable-purge-protection true --enable-rbac-authorization true
	expect "the vault by its name alone" "$(az keyvault show --name $vault --query id)" "$vault_id"
}

make_key() {
	give "Key Vault Crypto Officer" "$me" "$vault_id"
	az keyvault key create --vault-name $vault --name $key --kty RSA --size 2048
}

make_identity() { az identity create --resource-group $group --name asks --location local; }

grant() {
	give "Key Vault Crypto Service Encryption User" "$(az identity show --ids "$asks" --query principalId)" "$vault_id"
}

kid() { az keyvault key show --vault-name $vault --name $key --query key.kid; }
under() { az storage account show --ids "$account_id" --query encryption.keyVaultProperties.currentVersionedKeyIdentifier; }

make_account() {
	az storage account create --name $account --resource-group $group --location local --sku Standard_LRS --kind StorageV2 \
		--identity-type UserAssigned --user-identity-id "$asks" --key-vault-user-identity-id "$asks" \
		--encryption-key-source Microsoft.Keyvault --encryption-key-vault "https://$vault.vault.localhost:${vaults##*:}" --encryption-key-name $key
	expect "the account's key" "$(under)" "$(kid)"
}

upload() { # the CLI asks for the account's key and signs with it
	noise 5000000 "$scratch/sent"
	az storage container create --name box --account-name $account
	az storage blob upload --container-name box --name blob --file "$scratch/sent" --account-name $account
	download
}

download() {
	rm -f "$scratch/got"
	az storage blob download --container-name box --name blob --file "$scratch/got" --account-name $account "$@" >/dev/null
	cmp "$scratch/sent" "$scratch/got"
}

tokens() { # the CLI's own token, then a SAS that is signed with a key it got with one
	give "Storage Blob Data Contributor" "$me" "$account_id"
	az storage blob upload --container-name box --name blob --file "$scratch/sent" --account-name $account --auth-mode login --overwrite
	download --auth-mode login
	local url
	url=$(az storage blob generate-sas --container-name box --name blob --account-name $account --permissions r \
		--expiry "$(date -u -d '+1 hour' +%Y-%m-%dT%H:%MZ)" --as-user --auth-mode login --full-uri)
	rm -f "$scratch/got"
	az storage blob download --blob-url "$url" --file "$scratch/got" >/dev/null
	cmp "$scratch/sent" "$scratch/got"
}

machine() { # a managed identity of this machine, without any credential
	"$coffer" identity create machine --managed --attach --data "$data"
	"$coffer" role assign machine "Storage Blob Data Reader" $account --data "$data"
	export AZURE_CONFIG_DIR=$scratch/azure-machine
	register
	az login --identity
	expect subscription "$(az account show --query id)" "${sub##*/}"
	download --auth-mode login
}

rotate() {
	az keyvault key rotate --vault-name $vault --name $key
	now=$(kid)
	again follows
}
follows() { [ "$(under)" = "$now" ]; }

turn() { # true or false, every version
	local id
	for id in $(az keyvault key list-versions --vault-name $vault --name $key --query '[].kid'); do
		az keyvault key set-attributes --id "$id" --enabled "$1"
	done
}

disable() { turn false; }
enable() { turn true; }
refused() { again is_refused; }
is_refused() { ! download 2>"$scratch/error" && grep -q KeyVaultEncryptionKeyNotFound "$scratch/error"; }
read_again() { again download; }

scope() {
	az storage account encryption-scope create --account-name $account --resource-group $group --name tenant-a \
		--key-source Microsoft.KeyVault --key-uri "https://$vault.vault.localhost:${vaults##*:}/keys/$key"
	expect "the scope's source" "$(az storage account encryption-scope show --account-name $account --resource-group $group --name tenant-a --query source)" Microsoft.KeyVault
}

back() {
	az storage account update --name $account --resource-group $group --encryption-key-source Microsoft.Storage
	expect "the account's key" "$(az storage account show --ids "$account_id" --query encryption.keySource)" Microsoft.Storage
	download
}

module() { # a Managed HSM; its local role by our command: the CLI asks a directory for names when it gives one
	az keyvault create --hsm-name $hsm --resource-group $group --location local --administrators "$me" --retention-days 7
	"$coffer" role assign robot "Managed HSM Crypto User" hsm:$hsm --data "$data"
	az keyvault key create --hsm-name $hsm --name wrap --kty oct-HSM --size 256
	expect "type of the key" "$(az keyvault key show --hsm-name $hsm --name wrap --query key.kty)" oct-HSM
	az keyvault delete --hsm-name $hsm
	az keyvault purge --hsm-name $hsm --location local
}

secrets() { # refused by its name
	if az keyvault secret set --vault-name $vault --name a --value b 2>"$scratch/error"; then
		echo "was taken"
		return 1
	fi
	grep -q 'serves keys only: secrets are not served' "$scratch/error"
}

delete() {
	az storage account delete --name $account --resource-group $group --yes
	az keyvault delete --name $vault --resource-group $group
	expect "deleted vaults" "$(az keyvault list-deleted --resource-type vault --query '[].name')" $vault
	az keyvault recover --name $vault --resource-group $group --location local
	az group delete --name $group --yes
	expect groups "$(az group list --query '[].name')" coffer
}

file=$scratch/azcli.tsv
{
	printf 'version\tazure-cli %s\n' "$(sed -n 's,^azure-cli==,,p' azcli/requirements.txt)"
	step cloud register
	step login login
	step vault make_vault
	step key make_key
	step identity make_identity
	step grant grant
	step account make_account
	step upload upload
	step token tokens
	step managed machine
	step rotate rotate
	step disable disable
	step refused refused
	step enable enable
	step read read_again
	step scope scope
	step hsm module
	step secrets secrets
	step back back
	step delete delete
	report_done || true
} >"$file" 2>"$file.err"

status=0
"$cache/bin/matrix" "azcli/https=$file" || { status=1 && tail -n 20 "$file.err" >&2; }
stop_coffer || status=1
exit $status
