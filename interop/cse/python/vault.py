"""Keys in a vault for sdk.py: the SDK's interface of key-encrypting keys around
CryptographyClient of azure-keyvault-keys, signed in as azure-identity reads the
environment."""

import functools
import os
import urllib.parse

from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient, KeyVaultKeyIdentifier
from azure.keyvault.keys.crypto import CryptographyClient

ALGORITHMS = ["RSA-OAEP-256", "RSA-OAEP"]


@functools.lru_cache(None)
def credential():
    # Without the other sources of DefaultAzureCredential, for none of them may answer.
    return ClientSecretCredential(os.environ["AZURE_TENANT_ID"], os.environ["AZURE_CLIENT_ID"],
                                  os.environ["AZURE_CLIENT_SECRET"], disable_instance_discovery=True)


@functools.lru_cache(None)
def crypto(kid):
    return CryptographyClient(kid, credential())


class VaultKey:
    def __init__(self, kid, algorithm):
        self.kid, self.algorithm = kid, algorithm

    def get_kid(self):
        return self.kid

    def get_key_wrap_algorithm(self):
        return self.algorithm

    def wrap_key(self, key):
        return crypto(self.kid).wrap_key(self.algorithm, key).encrypted_key

    def unwrap_key(self, key, algorithm):
        if algorithm not in ALGORITHMS:
            raise ValueError("algorithm " + algorithm)
        return crypto(self.kid).unwrap_key(algorithm, key).key


def vault():
    return "https://" + urllib.parse.urlsplit(os.environ["CSE_VAULT_KEY"]).netloc


def keys():
    """The newest version of the key, unless its URL names one, by each algorithm."""
    named = KeyVaultKeyIdentifier(os.environ["CSE_VAULT_KEY"])
    kid = KeyClient(vault(), credential()).get_key(named.name, named.version).id
    return {a: VaultKey(kid, a) for a in ALGORITHMS}


def resolve(kid):
    """Any version of any key, in this vault only."""
    if not kid.startswith(vault() + "/keys/"):
        raise ValueError("not in the vault: " + kid)
    return VaultKey(kid, None)
