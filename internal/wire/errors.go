package wire

import (
	"net/http"

	"github.com/coffer-storage/coffer/internal/fault"
)

// Entry is how one fault kind looks to a client.
type Entry struct {
	Status  int
	Code    string // x-ms-error-code
	Message string
	// ContainerCode and ContainerMessage replace Code and Message where the request
	// names a container and no blob.
	ContainerCode, ContainerMessage string
}

const (
	textHeaderFormat = "The value for one of the HTTP headers is not in the correct format."
	textInternal     = "Server encountered an internal error. Please try again after some time."
	textBusy         = "The server is currently unable to receive requests. Please retry your request."
	textChallenge    = "Server failed to authenticate the request. Please refer to the information in the www-authenticate header."
)

// table is the only place where a kind meets a status, a code and a text. Texts are the
// service's own: clients print them and some match on them.
var table = [fault.KindCount]Entry{
	fault.Internal: {Status: 500, Code: "InternalError", Message: textInternal},

	fault.InvalidInput:             {Status: 400, Code: "InvalidInput", Message: "One of the request inputs is not valid."},
	fault.InvalidURI:               {Status: 400, Code: "InvalidUri", Message: "The requested URI does not represent any resource on the server."},
	fault.InvalidHeaderValue:       {Status: 400, Code: "InvalidHeaderValue", Message: textHeaderFormat},
	fault.MissingRequiredHeader:    {Status: 400, Code: "MissingRequiredHeader", Message: "An HTTP header that's mandatory for this request is not specified."},
	fault.InvalidQueryParameter:    {Status: 400, Code: "InvalidQueryParameterValue", Message: "Value for one of the query parameters specified in the request URI is invalid."},
	fault.OutOfRangeQueryParameter: {Status: 400, Code: "OutOfRangeQueryParameterValue", Message: "One of the query parameters specified in the request URI is outside the permissible range."},
	fault.MissingQueryParameter:    {Status: 400, Code: "MissingRequiredQueryParameter", Message: "A query parameter that's mandatory for this request is not specified."},
	// "specifed" is how the service spells it.
	fault.InvalidResourceName: {Status: 400, Code: "InvalidResourceName", Message: "The specifed resource name contains invalid characters."},
	fault.InvalidMetadata:     {Status: 400, Code: "InvalidMetadata", Message: "The specified metadata is invalid. It includes characters that are not permitted."},
	fault.EmptyMetadataKey:    {Status: 400, Code: "EmptyMetadataKey", Message: "The key for one of the metadata key-value pairs is empty."},
	fault.OutOfRangeInput:     {Status: 400, Code: "OutOfRangeInput", Message: "The specified resource name length is not within the permissible limits."},
	fault.UnsupportedQuery:    {Status: 400, Code: "UnsupportedQueryParameter", Message: "One of the query parameters specified in the request URI is not supported."},
	fault.InvalidBlobTier:     {Status: 400, Code: "InvalidHeaderValue", Message: textHeaderFormat},
	fault.MetadataTooLarge:    {Status: 400, Code: "MetadataTooLarge", Message: "The size of the specified metadata exceeds the maximum size permitted."},
	fault.InvalidXMLDocument:  {Status: 400, Code: "InvalidXmlDocument", Message: "XML specified is not syntactically valid."},
	fault.InvalidXMLNodeValue: {Status: 400, Code: "InvalidXmlNodeValue", Message: "The value for one of the XML nodes is not in the correct format."},
	fault.InvalidBlobOrBlock:  {Status: 400, Code: "InvalidBlobOrBlock", Message: "The specified blob or block content is invalid."},
	// Another length than its siblings is, to the service, bad block content; the
	// code InvalidBlockId it keeps for what is not base64.
	fault.InvalidBlockID:        {Status: 400, Code: "InvalidBlobOrBlock", Message: "The specified blob or block content is invalid."},
	fault.InvalidBlockList:      {Status: 400, Code: "InvalidBlockList", Message: "The specified block list is invalid."},
	fault.BlockListTooLong:      {Status: 400, Code: "BlockListTooLong", Message: "The block list may not contain more than 50,000 blocks."},
	fault.BlockCountExceeded:    {Status: 409, Code: "BlockCountExceedsLimit", Message: "The uncommitted block count cannot exceed the maximum limit of 100,000 blocks."},
	fault.RequestBodyTooLarge:   {Status: 413, Code: "RequestBodyTooLarge", Message: "The request body is too large and exceeds the maximum permissible limit."},
	fault.ContentLengthMismatch: {Status: 400, Code: "InvalidInput", Message: "The request body is shorter than the value of the Content-Length header."},
	fault.MissingContentLength:  {Status: 411, Code: "MissingContentLengthHeader", Message: "The Content-Length header was not specified."},
	fault.InvalidRange:          {Status: 416, Code: "InvalidRange", Message: "The range specified is invalid for the current size of the resource."},
	fault.InvalidMD5:            {Status: 400, Code: "InvalidMd5", Message: "The MD5 value specified in the request is invalid. The MD5 value must be 128 bits and Base64-encoded."},
	fault.MD5Mismatch:           {Status: 400, Code: "Md5Mismatch", Message: "The MD5 value specified in the request did not match with the MD5 value calculated by the server."},
	fault.CRC64Mismatch:         {Status: 400, Code: "Crc64Mismatch", Message: "The CRC64 value specified in the request did not match with the CRC64 value calculated by the server."},
	fault.InvalidCRC64:          {Status: 400, Code: "InvalidHeaderValue", Message: textHeaderFormat},
	fault.MD5AndCRC64:           {Status: 400, Code: "BothCrc64AndMd5HeaderPresent", Message: "Both x-ms-content-crc64 header and Content-MD5 header are present."},
	fault.UnsupportedHeader:     {Status: 400, Code: "UnsupportedHeader", Message: "One of the HTTP headers specified in the request is not supported."},
	fault.UnsupportedVerb:       {Status: 405, Code: "UnsupportedHttpVerb", Message: "The resource doesn't support specified Http Verb."},
	// The protocol's own code for an operation a server does not have; 501 is not
	// in the retry list of any SDK.
	fault.UnsupportedOperation: {Status: 501, Code: "NotImplemented", Message: "The requested operation is not implemented on the specified resource."},
	fault.UnsupportedVersion:   {Status: 400, Code: "InvalidHeaderValue", Message: textHeaderFormat},
	fault.RangeTooLargeForHash: {Status: 400, Code: "OutOfRangeInput", Message: "One of the request inputs is out of range."},

	fault.AuthenticationFailed:      {Status: 403, Code: "AuthenticationFailed", Message: "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature."},
	fault.InvalidAuthenticationInfo: {Status: 400, Code: "InvalidAuthenticationInfo", Message: "Authentication information is not given in the correct format. Check the value of Authorization header."},
	fault.NoAuthentication:          {Status: 401, Code: "NoAuthenticationInformation", Message: textChallenge},
	fault.AuthorizationFailure:      {Status: 403, Code: "AuthorizationFailure", Message: "This request is not authorized to perform this operation."},
	fault.PermissionMismatch:        {Status: 403, Code: "AuthorizationPermissionMismatch", Message: "This request is not authorized to perform this operation using this permission."},
	fault.ResourceTypeMismatch:      {Status: 403, Code: "AuthorizationResourceTypeMismatch", Message: "This request is not authorized to perform this operation using this resource type."},
	fault.ServiceMismatch:           {Status: 403, Code: "AuthorizationServiceMismatch", Message: "This request is not authorized to perform this operation using this service."},
	fault.ProtocolMismatch:          {Status: 403, Code: "AuthorizationProtocolMismatch", Message: "This request is not authorized to perform this operation using this protocol."},
	fault.SourceIPMismatch:          {Status: 403, Code: "AuthorizationSourceIPMismatch", Message: "This request is not authorized to perform this operation using this source IP."},
	fault.InsufficientAccount:       {Status: 403, Code: "InsufficientAccountPermissions", Message: "The account being accessed does not have sufficient permissions to execute this operation."},
	fault.PublicAccessNotPermitted:  {Status: 409, Code: "PublicAccessNotPermitted", Message: "Public access is not permitted on this storage account."},

	fault.TokenRefused:              {Status: 401, Code: "InvalidAuthenticationInfo", Message: textChallenge},
	fault.UnauthorizedBlobOverwrite: {Status: 403, Code: "UnauthorizedBlobOverwrite", Message: "This request is not authorized to perform blob overwrites."},

	fault.CORSRefused: {Status: 403, Code: "CorsPreflightFailure", Message: "CORS not enabled or no matching rule found for this request."},

	// In the cloud an unknown account is a name that DNS does not have; there is no code for it.
	fault.AccountNotFound:        {Status: 404, Code: "ResourceNotFound", Message: "The specified resource does not exist."},
	fault.ResourceNotFound:       {Status: 404, Code: "ResourceNotFound", Message: "The specified resource does not exist."},
	fault.ContainerNotFound:      {Status: 404, Code: "ContainerNotFound", Message: "The specified container does not exist."},
	fault.ContainerAlreadyExists: {Status: 409, Code: "ContainerAlreadyExists", Message: "The specified container already exists."},
	fault.ContainerBeingDeleted:  {Status: 409, Code: "ContainerBeingDeleted", Message: "The specified container is being deleted. Try operation later."},
	fault.BlobNotFound:           {Status: 404, Code: "BlobNotFound", Message: "The specified blob does not exist."},
	fault.BlobAlreadyExists:      {Status: 409, Code: "BlobAlreadyExists", Message: "The specified blob already exists."},
	fault.InvalidBlobType:        {Status: 409, Code: "InvalidBlobType", Message: "The blob type is invalid for this operation."},
	fault.ConditionNotMet:        {Status: 412, Code: "ConditionNotMet", Message: "The condition specified using HTTP conditional header(s) is not met."},
	fault.NotModified:            {Status: 304, Code: "ConditionNotMet", Message: "The condition specified using HTTP conditional header(s) is not met."},
	fault.UnsatisfiableCondition: {Status: 400, Code: "UnsatisfiableCondition", Message: "The request includes an unsatisfiable condition for this operation."},
	fault.MultipleConditions:     {Status: 400, Code: "MultipleConditionHeadersNotSupported", Message: "Multiple condition headers are not supported."},
	fault.ConditionsNotSupported: {Status: 400, Code: "ConditionHeadersNotSupported", Message: "Condition headers are not supported."},
	fault.LeaseNotPresent: {Status: 412, Code: "LeaseNotPresentWithBlobOperation", Message: "There is currently no lease on the blob.",
		ContainerCode: "LeaseNotPresentWithContainerOperation", ContainerMessage: "There is currently no lease on the container."},

	fault.EncryptionNotHonoured:                 {Status: 400, Code: "UnsupportedHeader", Message: "One of the HTTP headers specified in the request is not supported."},
	fault.UsesCustomerSpecifiedEncryption:       {Status: 409, Code: "BlobUsesCustomerSpecifiedEncryption", Message: "The blob is encrypted with customer specified encryption, but it was not provided in the request."},
	fault.DoesNotUseCustomerSpecifiedEncryption: {Status: 409, Code: "BlobDoesNotUseCustomerSpecifiedEncryption", Message: "The blob is not encrypted with customer specified encryption, but one was provided in the request."},
	fault.CustomerSpecifiedEncryptionMismatch:   {Status: 409, Code: "BlobCustomerSpecifiedEncryptionMismatch", Message: "The given customer specified encryption does not match the encryption used to encrypt the blob."},
	fault.ForbiddenByEncryptionPolicy:           {Status: 403, Code: "RequestForbiddenByContainerEncryptionPolicy", Message: "The request is forbidden by the container encryption policy."},
	// For these three the service's own codes are not known; spec/customer-keys.md.
	fault.ScopeNotFound:           {Status: 404, Code: "EncryptionScopeNotFound", Message: "The specified encryption scope does not exist."},
	fault.ScopeDisabled:           {Status: 403, Code: "EncryptionScopeDisabled", Message: "The encryption scope is disabled."},
	fault.CustomerKeyNotPermitted: {Status: 403, Code: "CustomerProvidedKeyNotPermitted", Message: "Customer-provided keys are not permitted on this storage account."},
	fault.KeyGone:                 {Status: 403, Code: "KeyVaultEncryptionKeyNotFound", Message: "The key vault key is not found to unwrap the encryption key."},
	// The texts of these two are ours: the service's are not known.
	fault.CustomerVaultGone: {Status: 403, Code: "KeyVaultVaultNotFound", Message: "The key vault is not found to unwrap the encryption key."},
	fault.CustomerTokenGone: {Status: 403, Code: "KeyVaultAccessTokenCannotBeAcquired", Message: "The access token for the key vault cannot be acquired with the identity of this resource."},

	// What does not authenticate is an internal error to a client, without detail.
	fault.Corrupt: {Status: 500, Code: "InternalError", Message: textInternal},
	// 507 because no SDK retries it: a full disk does not go away by asking again.
	fault.Full:        {Status: 507, Code: "InsufficientStorage", Message: "The server has not enough free space to execute the request."},
	fault.Busy:        {Status: 503, Code: "ServerBusy", Message: textBusy},
	fault.Timeout:     {Status: 500, Code: "OperationTimedOut", Message: "Operation could not be completed within the specified time."},
	fault.Unavailable: {Status: 503, Code: "ServerBusy", Message: textBusy},
	fault.Canceled:    {Status: 500, Code: "OperationTimedOut", Message: "Operation could not be completed within the specified time."},

	// Never meant for this wire; if one gets here it is our bug, and its text stays here.
	fault.KeyStore:    {Status: 500, Code: "InternalError", Message: textInternal},
	fault.Rollback:    {Status: 500, Code: "InternalError", Message: textInternal},
	fault.NewerFormat: {Status: 500, Code: "InternalError", Message: textInternal},
	fault.Exists:      {Status: 409, Code: "ResourceAlreadyExists", Message: "The specified resource already exists."},
	// Of the identity endpoint, which has a form of its own.
	fault.PrincipalNotFound: {Status: 404, Code: "PrincipalNotFound", Message: "The specified principal does not exist."},
	fault.InvalidClient:     {Status: 401, Code: "InvalidClient", Message: "The credential of the client is not valid."},

	// Vaults have answers of their own, in package vaulthttp; these are never sent.
	fault.VaultNotFound:       {Status: 404, Code: "VaultNotFound", Message: "The vault does not exist."},
	fault.VaultKeyNotFound:    {Status: 404, Code: "KeyNotFound", Message: "The key does not exist."},
	fault.VaultKeyDeleted:     {Status: 409, Code: "ObjectIsDeletedButRecoverable", Message: "The key is deleted and can be recovered."},
	fault.VaultKeyDisabled:    {Status: 403, Code: "KeyDisabled", Message: "The key is disabled."},
	fault.VaultKeyNotYetValid: {Status: 403, Code: "KeyNotYetValid", Message: "The key is not valid yet."},
	fault.VaultKeyExpired:     {Status: 403, Code: "KeyExpired", Message: "The key has expired."},
	fault.VaultKeyOperation:   {Status: 403, Code: "KeyOperationForbidden", Message: "The key is not for this operation."},
	fault.VaultPolicyForbids:  {Status: 403, Code: "ForbiddenByPolicy", Message: "The caller has no permission on the vault."},
	fault.VaultRoleForbids:    {Status: 403, Code: "ForbiddenByRbac", Message: "The caller has no role on the vault."},
	fault.NotAllowed:          {Status: 409, Code: "InvalidOperation", Message: "The operation is not allowed in the current state of the resource."},
}

// Lookup returns the entry of kind; a kind out of range is Internal.
func Lookup(kind fault.Kind) Entry {
	if int(kind) >= len(table) || table[kind].Status == 0 {
		return table[fault.Internal]
	}
	return table[kind]
}

// hidesDetails reports kinds whose details are ours alone: they say how the store or
// the process is, not what is wrong with the request.
func hidesDetails(e Entry) bool {
	return e.Status >= http.StatusInternalServerError && e.Status != http.StatusNotImplemented
}
