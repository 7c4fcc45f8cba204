# shellcheck shell=bash disable=SC2034
# Versions of the peers, and where install.sh puts them. Source this file.
azurite_version=3.35.0
minio_version=v0.0.0-20260212201848-7aac2a2c5b7c
peers=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.cache/bench
