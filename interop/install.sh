# Installs the pinned clients into the cache. Source lib.sh first.
#
# Every client has a stamp file that carries its version: what is there in the
# right version is not touched, a changed pin is installed anew.

go_clients="
github.com/rclone/rclone@v1.76.0
github.com/restic/restic/cmd/restic@v0.18.1
"

install_clients() {
	mkdir -p "$cache/bin" "$cache/stamps"
	local pkg
	for pkg in $go_clients; do
		once "$pkg" env GOBIN="$cache/bin" CGO_ENABLED=0 GOFLAGS=-mod=mod go install "$pkg"
	done
	once "js-$(sum "$interop/js/package.json" "$interop/js/package-lock.json")" install_js
	once "python-$(sum "$interop/python/requirements.txt")" install_python
	(cd "$interop" && CGO_ENABLED=0 go build -o "$cache/bin/" ./azblob ./big ./connectproxy ./matrix)
}

# sum names files by content.
sum() { cat "$@" | sha256sum | cut -c 1-16; }

# once STAMP COMMAND...: runs the command unless it has succeeded before.
once() {
	local stamp=$cache/stamps/${1//\//_}
	shift
	[ -e "$stamp" ] && return
	say "installing: $*"
	"$@"
	: >"$stamp"
}

# The program runs inside the cache, beside its node_modules. The package node
# brings the runtime in an install script of its own; where the package manager
# is set not to run those, it is called here.
install_js() {
	rm -rf "$cache/js"
	mkdir -p "$cache/js"
	cp "$interop/js/package.json" "$interop/js/package-lock.json" "$cache/js/"
	(
		cd "$cache/js"
		npm ci --no-audit --no-fund >&2
		if ! [ -x node_modules/node/bin/node ]; then
			(cd node_modules/node && node installArchSpecificPackage) >&2
		fi
		node_modules/node/bin/node --version >&2
	)
}

install_python() {
	rm -rf "$cache/venv"
	python3 -m venv "$cache/venv"
	"$cache/venv/bin/pip" install --quiet --disable-pip-version-check -r "$interop/python/requirements.txt"
}

# install_round CLIENT...: the management clients of the round of a customer's key.
install_round() {
	mkdir -p "$cache/bin" "$cache/stamps"
	(cd "$interop" && CGO_ENABLED=0 go build -o "$cache/bin/" ./round ./matrix)
	local name
	for name in "$@"; do
		case $name in
		js)
			once "js-$(sum "$interop/js/package.json" "$interop/js/package-lock.json")" install_js
			once "js-round-$(sum "$interop/js-round/package.json" "$interop/js-round/package-lock.json")" install_js_round
			;;
		python) once "python-round-$(sum "$interop/python-round/requirements.txt")" install_python_round ;;
		esac
	done
}

install_js_round() {
	rm -rf "$cache/js-round"
	mkdir -p "$cache/js-round"
	cp "$interop/js-round/package.json" "$interop/js-round/package-lock.json" "$cache/js-round/"
	(cd "$cache/js-round" && npm ci --no-audit --no-fund >&2)
}

install_python_round() {
	rm -rf "$cache/venv-round"
	python3 -m venv "$cache/venv-round"
	"$cache/venv-round/bin/pip" install --quiet --disable-pip-version-check -r "$interop/python-round/requirements.txt"
}

# install_azcli: the Azure CLI, 730 MB of it.
install_azcli() {
	mkdir -p "$cache/bin" "$cache/stamps"
	(cd "$interop" && CGO_ENABLED=0 go build -o "$cache/bin/" ./connectproxy ./matrix)
	once "azcli-$(sum "$interop/azcli/requirements.txt")" install_azcli_venv
}

install_azcli_venv() {
	rm -rf "$cache/venv-azcli"
	python3 -m venv "$cache/venv-azcli"
	"$cache/venv-azcli/bin/pip" install --quiet --disable-pip-version-check --no-compile -r "$interop/azcli/requirements.txt"
}
