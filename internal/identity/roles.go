package identity

import (
	"strings"
)

// Role is a built-in role: what it lets its holder do. A star stands for anything.
type Role struct {
	ID             string // UUID
	Name           string
	Description    string
	HSM            bool // a local role of Managed HSMs, which exists at their paths only
	Actions        []string
	NotActions     []string
	DataActions    []string
	NotDataActions []string
	Assigns        []string // UUIDs of the only roles that it may assign and take away; nil: all
}

// Beginnings of actions.
const (
	storageBlobs  = "Microsoft.Storage/storageAccounts/blobServices/"
	storageBox    = storageBlobs + "containers/"
	storageBlob   = storageBox + "blobs/"
	storageQueues = "Microsoft.Storage/storageAccounts/queueServices/"
	storageTables = "Microsoft.Storage/storageAccounts/tableServices/"
	storageFiles  = "Microsoft.Storage/storageAccounts/fileServices/"
	vaultKeys     = "Microsoft.KeyVault/vaults/keys/"
	vaultSecrets  = "Microsoft.KeyVault/vaults/secrets/"
	hsm           = "Microsoft.KeyVault/managedHsm/"
)

// under prefixes each name.
func under(prefix string, names ...string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = prefix + n
	}
	return out
}

func both(a, b []string) []string { return append(append([]string(nil), a...), b...) }

// delegate lets its holder get user delegation keys.
const delegate = storageBlobs + "generateUserDelegationKey/action"

// roles are the built-in roles that storage and vaults name, with the ids that they have
// everywhere.
var roles = []Role{
	{ID: "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", Name: "Owner", Description: "Everything about resources, and who may do what; no data.",
		Actions: []string{"*"}},
	{ID: "b24988ac-6180-42a0-ab88-20f7382dd24c", Name: "Contributor", Description: "Everything about resources, but not who may do what; no data.",
		Actions:    []string{"*"},
		NotActions: []string{"Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write", "Microsoft.Authorization/elevateAccess/Action"}},
	{ID: "acdd72a7-3385-48ef-bd42-f606fba81ae7", Name: "Reader", Description: "Sees resources and changes nothing.",
		Actions: []string{"*/read"}},
	{ID: "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9", Name: "User Access Administrator", Description: "Says who may do what with resources.",
		Actions: []string{"*/read", "Microsoft.Authorization/*"}},
	{ID: "f58310d9-a9f6-439a-9e8d-f62e7b41a168", Name: "Role Based Access Control Administrator", Description: "Assigns roles.",
		Actions: []string{"Microsoft.Authorization/roleAssignments/write", "Microsoft.Authorization/roleAssignments/delete", "*/read"}},

	{ID: "17d1049b-9a84-46fb-8f53-869881c3d3ab", Name: "Storage Account Contributor", Description: "Manages storage accounts, their keys among it.",
		Actions: []string{"Microsoft.Authorization/*/read", "Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Storage/storageAccounts/*"}},
	{ID: "81a9662b-bebf-436f-a333-f67b29880f12", Name: "Storage Account Key Operator Service Role", Description: "Lists and regenerates the keys of accounts.",
		Actions: under("Microsoft.Storage/storageAccounts/", "listkeys/action", "regeneratekey/action")},
	{ID: "c12c1c16-33a1-487b-954d-41c89c60f349", Name: "Reader and Data Access", Description: "Sees accounts and lists their keys.",
		Actions: under("Microsoft.Storage/storageAccounts/", "listKeys/action", "ListAccountSas/action", "read")},

	{ID: "e5e2a7ff-d759-4cd2-bb51-3152d37e2eb1", Name: "Storage Account Backup Contributor", Description: "What a backup of an account needs: locks, containers, replication policies.",
		Actions: append(under("Microsoft.Storage/", "operations/read", "storageAccounts/objectReplicationPolicies/delete", "storageAccounts/objectReplicationPolicies/read",
			"storageAccounts/objectReplicationPolicies/write", "storageAccounts/objectReplicationPolicies/restorePointMarkers/write", "storageAccounts/blobServices/containers/read",
			"storageAccounts/blobServices/containers/write", "storageAccounts/blobServices/read", "storageAccounts/blobServices/write", "storageAccounts/read", "storageAccounts/restoreBlobRanges/action"),
			"Microsoft.Authorization/*/read", "Microsoft.Authorization/locks/read", "Microsoft.Authorization/locks/write", "Microsoft.Authorization/locks/delete",
			"Microsoft.Features/features/read", "Microsoft.Features/providers/features/read", "Microsoft.Resources/subscriptions/resourceGroups/read")},

	{ID: "b7e6dc6d-f1e8-4753-8033-0f276bb0955b", Name: "Storage Blob Data Owner", Description: "Everything with containers and blobs.",
		Actions:     []string{storageBox + "*", delegate},
		DataActions: []string{storageBlob + "*"}},
	{ID: "ba92f5b4-2d11-453d-a403-e96b0029c9fe", Name: "Storage Blob Data Contributor", Description: "Reads, writes and deletes containers and blobs.",
		Actions:     both(under(storageBox, "delete", "read", "write"), []string{delegate}),
		DataActions: under(storageBlob, "delete", "read", "write", "move/action", "add/action")},
	{ID: "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", Name: "Storage Blob Data Reader", Description: "Reads and lists containers and blobs.",
		Actions:     []string{storageBox + "read", delegate},
		DataActions: []string{storageBlob + "read"}},
	{ID: "db58b8e5-c6ad-4a2a-8342-4190687cbf4a", Name: "Storage Blob Delegator", Description: "Gets user delegation keys.",
		Actions: []string{delegate}},

	{ID: "974c5e8b-45b9-4653-ba55-5f855dd0fb88", Name: "Storage Queue Data Contributor", Description: "Reads, writes and deletes queues and messages.",
		Actions:     under(storageQueues+"queues/", "delete", "read", "write"),
		DataActions: under(storageQueues+"queues/messages/", "delete", "read", "write", "process/action")},
	{ID: "19e7f393-937e-4f77-808e-94535e297925", Name: "Storage Queue Data Reader", Description: "Reads queues and messages.",
		Actions:     []string{storageQueues + "queues/read"},
		DataActions: []string{storageQueues + "queues/messages/read"}},
	{ID: "8a0f0c08-91a1-4084-bc3d-661d67233fed", Name: "Storage Queue Data Message Processor", Description: "Peeks at, takes and deletes messages.",
		DataActions: under(storageQueues+"queues/messages/", "read", "process/action")},
	{ID: "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a", Name: "Storage Queue Data Message Sender", Description: "Adds messages.",
		DataActions: []string{storageQueues + "queues/messages/add/action"}},
	{ID: "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3", Name: "Storage Table Data Contributor", Description: "Reads, writes and deletes tables and entities.",
		Actions:     under(storageTables+"tables/", "read", "write", "delete"),
		DataActions: under(storageTables+"tables/entities/", "read", "write", "delete", "add/action", "update/action")},
	{ID: "76199698-9eea-4c19-bc75-cec21354c6b6", Name: "Storage Table Data Reader", Description: "Reads tables and entities.",
		Actions:     []string{storageTables + "tables/read"},
		DataActions: []string{storageTables + "tables/entities/read"}},

	{ID: "0c867c2a-1d8c-454a-a3db-ab2ea1bdc8bb", Name: "Storage File Data SMB Share Contributor", Description: "Reads, writes and deletes files over SMB.",
		DataActions: under(storageFiles+"fileshares/files/", "read", "write", "delete")},
	{ID: "a7264617-510b-434b-a828-9731dc254ea7", Name: "Storage File Data SMB Share Elevated Contributor", Description: "Reads, writes and deletes files over SMB, and says who may.",
		DataActions: under(storageFiles+"fileshares/files/", "read", "write", "delete", "modifypermissions/action")},
	{ID: "aba4ae5f-2193-4029-9191-0cb91df5e314", Name: "Storage File Data SMB Share Reader", Description: "Reads files over SMB.",
		DataActions: []string{storageFiles + "fileshares/files/read"}},
	{ID: "69566ab7-960f-475b-8e7c-b3118f30c6bd", Name: "Storage File Data Privileged Contributor", Description: "Reads, writes and deletes files whatever their permissions say, and changes those.",
		DataActions: append(under(storageFiles+"fileshares/files/", "read", "write", "delete", "modifypermissions/action"), under(storageFiles, "readFileBackupSemantics/action", "writeFileBackupSemantics/action")...)},
	{ID: "b8eda974-7b85-4f76-af95-65846b26df6d", Name: "Storage File Data Privileged Reader", Description: "Reads files whatever their permissions say.",
		DataActions: under(storageFiles, "fileshares/files/read", "readFileBackupSemantics/action")},

	{ID: "00482a5a-887f-4fb3-b363-3b7fe8e74483", Name: "Key Vault Administrator", Description: "Everything with the contents of vaults.",
		Actions:     vaultManagement,
		DataActions: []string{"Microsoft.KeyVault/vaults/*"}},
	{ID: "f25e0fa2-a7c8-4377-a976-54943a77a395", Name: "Key Vault Contributor", Description: "Manages vaults, but not what is in them.",
		Actions:    []string{"Microsoft.Authorization/*/read", "Microsoft.KeyVault/*", "Microsoft.Resources/subscriptions/resourceGroups/read"},
		NotActions: []string{"Microsoft.KeyVault/locations/deletedVaults/purge/action", "Microsoft.KeyVault/hsmPools/*", "Microsoft.KeyVault/managedHsms/*"}},
	{ID: "14b46e9e-c2b7-41b4-b07b-48a6ebf60603", Name: "Key Vault Crypto Officer", Description: "Everything with keys.",
		Actions:     vaultManagement,
		DataActions: []string{vaultKeys + "*", "Microsoft.KeyVault/vaults/keyrotationpolicies/*"}},
	{ID: "12338af0-0e69-4776-bea7-57ae8d297424", Name: "Key Vault Crypto User", Description: "Uses keys.",
		DataActions: under(vaultKeys, "read", "update/action", "backup/action", "encrypt/action", "decrypt/action", "wrap/action", "unwrap/action", "sign/action", "verify/action")},
	{ID: "e147488a-f6f5-4113-8e2d-b22465e65bf6", Name: "Key Vault Crypto Service Encryption User", Description: "Reads keys, wraps and unwraps with them: for customer-managed keys.",
		DataActions: under(vaultKeys, "read", "wrap/action", "unwrap/action")},
	{ID: "08bbd89e-9f13-488c-ac41-acfcb10c90ab", Name: "Key Vault Crypto Service Release User", Description: "Releases keys.",
		DataActions: []string{vaultKeys + "release/action"}},
	{ID: "a4417e6f-fecd-4de8-b567-7b0420556985", Name: "Key Vault Certificates Officer", Description: "Everything with certificates.",
		Actions:     vaultManagement,
		DataActions: under("Microsoft.KeyVault/vaults/", "certificatecas/*", "certificates/*", "certificatecontacts/write")},
	{ID: "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba", Name: "Key Vault Certificate User", Description: "Reads certificates with their private keys.",
		DataActions: under("Microsoft.KeyVault/vaults/", "certificates/read", "secrets/getSecret/action", "secrets/readMetadata/action", "keys/read")},
	{ID: "b86a8fe4-44ce-4948-aee5-eccb2c155cd7", Name: "Key Vault Secrets Officer", Description: "Everything with secrets.",
		Actions:     vaultManagement,
		DataActions: []string{vaultSecrets + "*"}},
	{ID: "4633458b-17de-408a-b874-0445c86b69e6", Name: "Key Vault Secrets User", Description: "Reads secrets.",
		DataActions: under(vaultSecrets, "getSecret/action", "readMetadata/action")},
	{ID: "21090545-7ca7-4776-b22c-e363652d74d2", Name: "Key Vault Reader", Description: "Sees what is in vaults, but no secret.",
		Actions:     vaultManagement,
		DataActions: []string{"Microsoft.KeyVault/vaults/*/read", vaultSecrets + "readMetadata/action"}},
	{ID: "8b54135c-b56d-4d72-a534-26097cfdc8d8", Name: "Key Vault Data Access Administrator", Description: "Assigns and takes away the roles on the contents of vaults, and no others.",
		Actions: []string{"Microsoft.Authorization/roleAssignments/write", "Microsoft.Authorization/roleAssignments/delete", "Microsoft.Authorization/*/read", "Microsoft.Resources/subscriptions/resourceGroups/read",
			"Microsoft.Resources/subscriptions/read", "Microsoft.KeyVault/vaults/*/read"},
		Assigns: []string{"00482a5a-887f-4fb3-b363-3b7fe8e74483", "a4417e6f-fecd-4de8-b567-7b0420556985", "14b46e9e-c2b7-41b4-b07b-48a6ebf60603", "e147488a-f6f5-4113-8e2d-b22465e65bf6",
			"12338af0-0e69-4776-bea7-57ae8d297424", "21090545-7ca7-4776-b22c-e363652d74d2", "b86a8fe4-44ce-4948-aee5-eccb2c155cd7", "4633458b-17de-408a-b874-0445c86b69e6"}},
	{ID: "a68e7c17-0ab2-4c09-9a58-125dae29748c", Name: "Key Vault Purge Operator", Description: "Purges deleted vaults.",
		Actions: []string{"Microsoft.Authorization/*/read", "Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.KeyVault/deletedVaults/read", "Microsoft.KeyVault/locations/deletedVaults/read",
			"Microsoft.KeyVault/locations/deletedVaults/purge/action", "Microsoft.KeyVault/locations/operationResults/read"}},
	{ID: "18500a29-7fe2-46b2-a342-b16a415e101d", Name: "Managed HSM contributor", Description: "Manages Managed HSMs, but not what is in them.",
		Actions: under("Microsoft.KeyVault/", "managedHSMs/*", "deletedManagedHsms/read", "locations/deletedManagedHsms/read", "locations/deletedManagedHsms/purge/action", "locations/managedHsmOperationResults/read")},

	{ID: "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59", Name: "Managed Identity Contributor", Description: "Makes and deletes user-assigned identities.",
		Actions: []string{"Microsoft.ManagedIdentity/userAssignedIdentities/read", "Microsoft.ManagedIdentity/userAssignedIdentities/write", "Microsoft.ManagedIdentity/userAssignedIdentities/delete", "Microsoft.Authorization/*/read", "Microsoft.Resources/subscriptions/resourceGroups/read"}},
	{ID: "f1a07417-d97a-45cb-824c-7a7467783830", Name: "Managed Identity Operator", Description: "Sees user-assigned identities and gives them to resources.",
		Actions: []string{"Microsoft.ManagedIdentity/userAssignedIdentities/*/read", "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action", "Microsoft.ManagedIdentity/userAssignedIdentities/read", "Microsoft.Authorization/*/read", "Microsoft.Resources/subscriptions/resourceGroups/read"}},

	{ID: "a290e904-7015-4bba-90c8-60543313cdb4", Name: "Managed HSM Administrator", HSM: true, Description: "Roles, backup and security domain; no keys.",
		DataActions: both(hsmRoles, under(hsm, "securitydomain/download/action", "securitydomain/download/read", "securitydomain/upload/action", "securitydomain/upload/read", "securitydomain/transferkey/read",
			"backup/start/action", "backup/status/action", "restore/start/action", "restore/status/action"))},
	{ID: "515eb02d-2335-4d2d-92f2-b1cbdf9c3778", Name: "Managed HSM Crypto Officer", HSM: true, Description: "Roles, and purge and recovery of deleted keys.",
		DataActions: both(hsmRoles, under(hsm+"keys/", "deletedKeys/read/action", "deletedKeys/recover/action", "deletedKeys/delete", "export/action", "release/action"))},
	{ID: "21dbd100-6940-42c2-9190-5d6cb909625b", Name: "Managed HSM Crypto User", HSM: true, Description: "Everything with keys, but to purge and recover deleted ones.",
		DataActions: append(under(hsm+"keys/", "read/action", "write/action", "rotate/action", "create", "delete", "import/action", "deletedKeys/read/action",
			"backup/action", "restore/action", "encrypt/action", "decrypt/action", "wrap/action", "unwrap/action", "sign/action", "verify/action", "derive/action"), hsm+"rng/action")},
	{ID: "4bd23610-cdcf-4971-bdee-bdc562cc28e4", Name: "Managed HSM Policy Administrator", HSM: true, Description: "Assigns roles.",
		DataActions: hsmRoles},
	{ID: "2c18b078-7c48-4d3a-af88-5a3a1b3f82b3", Name: "Managed HSM Crypto Auditor", HSM: true, Description: "Sees keys and uses none.",
		DataActions: under(hsm, "keys/read/action", "keys/deletedKeys/read/action", "roleAssignments/read/action", "roleDefinitions/read/action")},
	{ID: "33413926-3206-4cdd-b39a-83574fe37a17", Name: "Managed HSM Crypto Service Encryption User", HSM: true, Description: "Reads keys, wraps and unwraps with them: for customer-managed keys.",
		DataActions: under(hsm+"keys/", "read/action", "wrap/action", "unwrap/action")},
	{ID: "7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8", Name: "Managed HSM Backup", HSM: true, Description: "Backs up keys and whole HSMs.",
		DataActions: under(hsm, "keys/backup/action", "backup/start/action", "backup/status/action", "restore/status/action")},
}

// hsmRoles are the actions on who may do what in a Managed HSM.
var hsmRoles = under(hsm, "roleAssignments/read/action", "roleAssignments/write/action", "roleAssignments/delete/action",
	"roleDefinitions/read/action", "roleDefinitions/write/action", "roleDefinitions/delete/action")

// vaultManagement is what roles on the contents of vaults have beside.
var vaultManagement = []string{"Microsoft.Authorization/*/read", "Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.KeyVault/checkNameAvailability/read",
	"Microsoft.KeyVault/deletedVaults/read", "Microsoft.KeyVault/locations/*/read", "Microsoft.KeyVault/vaults/*/read", "Microsoft.KeyVault/operations/read"}

// byID finds a role by its UUID; an unknown one gives nothing.
var byID = func() map[string]*Role {
	m := make(map[string]*Role, len(roles))
	for i := range roles {
		m[roles[i].ID] = &roles[i]
	}
	return m
}()

// Roles returns the built-in roles. They are not to be changed.
func Roles() []Role { return roles }

// FindRole returns the role of that UUID, full id or name.
func FindRole(s string) (Role, bool) {
	s = s[strings.LastIndexByte(s, '/')+1:]
	for _, r := range roles {
		if strings.EqualFold(r.ID, s) || strings.EqualFold(r.Name, s) {
			return r, true
		}
	}
	return Role{}, false
}

// gives reports whether r allows an action.
func (r *Role) gives(action string, data bool) bool {
	if r == nil {
		return false
	}
	yes, no := r.Actions, r.NotActions
	if data {
		yes, no = r.DataActions, r.NotDataActions
	}
	return anyMatch(yes, action) && !anyMatch(no, action)
}

func anyMatch(patterns []string, action string) bool {
	for _, p := range patterns {
		if match(strings.ToLower(p), strings.ToLower(action)) {
			return true
		}
	}
	return false
}

// match reports whether an action fits a pattern, in which a star stands for any text,
// slashes among it.
func match(pattern, action string) bool {
	head, tail, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == action
	}
	if !strings.HasPrefix(action, head) {
		return false
	}
	for rest := action[len(head):]; ; rest = rest[1:] {
		if match(tail, rest) {
			return true
		}
		if rest == "" {
			return false
		}
	}
}
