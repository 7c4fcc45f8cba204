# Sourced by run.sh: speeds against plain azblob and the other SDKs, on this machine,
# against the server that runs; and the memory of a large stream.
mib=${MIB:-1024}
head -c $((mib * 1048576)) /dev/urandom >"$scratch/large"
head -c 4194304 /dev/urandom >"$scratch/small"
part "go, 4 MiB" "$scratch/cse" bench "$scratch/small" bench/small 40
part "go, $mib MiB" "$scratch/cse" bench "$scratch/large" bench/large "${ROUNDS:-5}"
part "python 12.31.1, $mib MiB" bash -c 'python_sdk "$@"' - 12.31.1 bench "$scratch/large" bench/python
part "java 12.32.1, $mib MiB" bash -c 'java_sdk "$@"' - 12.32.1 bench "$scratch/large" bench/java
part "memory" "$scratch/cse" rss bench/rss $((${RSS_MIB:-10240} * 1048576))
