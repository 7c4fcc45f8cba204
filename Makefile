# What a developer runs. `make test` needs nothing but Go and the module proxy.
GO      ?= go
TOOL    := $(GO) -C tools tool
FIPS    := GOFIPS140=v1.0.0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)
TARGETS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

.PHONY: all build test check format vet staticcheck tidy cross race fips interop interop-azcli interop-cse long long-crypto long-store long-packages bench bench-keys fuzz clean

all: build

build: ## the released binary: no cgo
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/coffer ./cmd/coffer

test: ## every test, under 10 minutes on 2 cores
	$(GO) test -timeout 10m ./...
	$(GO) -C $(PEBBLE) test -timeout 10m ./...

check: format vet staticcheck tidy cross race ## what CI demands of a commit

format:
	@out=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$out" ]; then echo "gofmt wants to change:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet ./...

staticcheck: bin/staticcheck
	bin/staticcheck ./...

bin/staticcheck: tools/go.mod tools/go.sum
	$(GO) -C tools build -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck

tidy:
	$(GO) mod tidy -diff

# Other platforms without optimization: what compiles and links is the same, in two thirds
# of the time.
cross: ## the program for every platform it is made for
	@set -e; for t in $(TARGETS); do \
		echo "build $$t"; \
		flags='all=-N -l'; [ $$t != $$($(GO) env GOHOSTOS)/$$($(GO) env GOHOSTARCH) ] || flags=; \
		CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -gcflags="$$flags" -o /dev/null ./cmd/coffer; \
	done

race: ## -short: heavy tests with at most 50 points; includes the architecture test
	$(GO) test -race -short -timeout 15m ./...

# What passes where everything outside of FIPS 140-3 ends the process: all but client-side
# encryption. The exceptions stand in docs/reliability.md.
STRICT = $$($(GO) list ./... | grep -v /cse)

fips: ## the frozen validated module, and its tests in FIPS mode
	$(FIPS) CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/coffer-fips ./cmd/coffer
	$(FIPS) GODEBUG=fips140=on $(GO) test -short -timeout 10m ./...
	GODEBUG=fips140=only $(GO) test -short -timeout 10m $(STRICT)

interop: ## official SDKs and tools against a built server
	./interop/run.sh
	./interop/round.sh
	./interop/tour.sh

interop-azcli: ## the Azure CLI against a built server: 730 MB the first time, some minutes
	./interop/azcli.sh

interop-cse: ## client-side encryption with the real Python and Java SDKs, over TLS
	./interop/cse/run.sh

bench: ## against a null server, nginx, MinIO and Azurite, about 45 minutes; then what kinds of keys cost
	./bench/install.sh
	./bench/run.sh
	./bench/keys.sh

bench-keys: ## scopes, customers' keys, double encryption and the XTS kernel, as ratios
	./bench/keys.sh

# The long run: full sizes, no result from the cache, in parts of at most half an hour:
# `make long PART=crypto`. Each prints figures, seeds and the date; docs/reliability.md
# keeps the latest.
PARTS  ?= crypto crash faults kill backup model pebble store packages
# Pebble's own random tests through the sealed file system: a module of its own.
PEBBLE := internal/meta/metamorphic
LONG   := COFFER_LONG=1 $(GO) test -count=1 -timeout 30m -v
# Tests of the whole store that are about cryptography at rest; part store has the others.
CRYPTO := Variants|HeaderBytes|Nonces|Repeats|Swap|OfflineAttacks|CutTail|NoPlaintext|SearchFinds|Cores|NoFallback|Plain|NoSwitch
CRASH  := PowerCut
FAULTS := EveryFailure|RandomDamage
KILL   := SurvivesKill|Pauses|FullDisk
BACKUP := BackupsUnderLoad
MODEL  := Histories
FIGURE := grep -vE '^=== |^[{]'

long: ## every part, or one: PART=crypto
	@set -e; for p in $(if $(PART),$(PART),$(PARTS)); do $(MAKE) --no-print-directory long-$$p; done

long-crypto:
	@date -u; $(LONG) ./internal/server/proof -run '$(CRYPTO)' > long-crypto.log 2>&1; s=$$?; $(FIGURE) long-crypto.log; exit $$s

long-crash:
	@date -u; $(LONG) ./internal/server/proof -run '$(CRASH)' > long-crash.log 2>&1; s=$$?; $(FIGURE) long-crash.log; exit $$s

long-faults:
	@date -u; $(LONG) ./internal/server/proof -run '$(FAULTS)' > long-faults.log 2>&1; s=$$?; $(FIGURE) long-faults.log; exit $$s

long-kill:
	@date -u; $(LONG) ./internal/server/proof -run '$(KILL)' > long-kill.log 2>&1; s=$$?; $(FIGURE) long-kill.log; exit $$s

long-backup:
	@date -u; $(LONG) ./internal/server/proof -run '$(BACKUP)' > long-backup.log 2>&1; s=$$?; $(FIGURE) long-backup.log; exit $$s

long-model:
	@date -u; $(LONG) ./internal/blob -run '$(MODEL)' > long-model.log 2>&1; s=$$?; $(FIGURE) long-model.log; exit $$s

long-pebble:
	@date -u; cd $(PEBBLE) && $(LONG) . > $(CURDIR)/long-pebble.log 2>&1; s=$$?; $(FIGURE) $(CURDIR)/long-pebble.log | grep -v '^        ---'; exit $$s

long-store:
	@date -u; $(LONG) ./internal/server/proof -skip '$(CRYPTO)|$(CRASH)|$(FAULTS)|$(KILL)|$(BACKUP)' > long-store.log 2>&1; s=$$?; $(FIGURE) long-store.log; exit $$s

long-packages:
	@date -u; $(LONG) $$($(GO) list ./... | grep -v /server/proof$$) -skip '$(MODEL)' > long-packages.log 2>&1; s=$$?; $(FIGURE) long-packages.log; exit $$s

FUZZTIME ?= 30s
fuzz: ## every fuzz target in turn
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "fuzz $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p; \
		done; \
	done

clean:
	rm -rf bin
