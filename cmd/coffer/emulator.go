package main

import "strings"

// emulatorFlags maps what people type for the common emulator to what is ours.
var emulatorFlags = map[string]string{
	"blobHost":               "use --host: one address for all endpoints",
	"queueHost":              "use --host: one address for all endpoints",
	"tableHost":              "use --host: one address for all endpoints",
	"blobPort":               "use --blob-port",
	"queuePort":              "the queue service is not served yet: leave it out",
	"tablePort":              "the table service is not served yet: leave it out",
	"location":               "use --data DIR",
	"l":                      "use --data DIR",
	"silent":                 "use --log off",
	"s":                      "use --log off",
	"debug":                  "use --log-level debug, and redirect stderr to a file",
	"d":                      "use --log-level debug, and redirect stderr to a file",
	"loose":                  "there is no loose mode: a header that cannot be honoured is refused by name",
	"L":                      "there is no loose mode: a header that cannot be honoured is refused by name",
	"skipApiVersionCheck":    "leave it out: every x-ms-version from 2015-02-21 on is served, newer than known included",
	"disableProductStyleUrl": "leave it out: path-style and host-style addresses are both served",
	"oauth":                  "bearer tokens are not served yet: use an account key or a SAS",
	"pwd":                    "give the certificate and its key as PEM files: --cert FILE --key FILE",
	"inMemoryPersistence":    "use --dev without --data: the store is temporary then",
	"extentMemoryLimit":      "use --memory-limit MIB",
	"disableTelemetry":       "leave it out: nothing is ever sent anywhere",
	"blobKeepAliveTimeout":   "leave it out: idle connections are closed after two minutes",
	"queueKeepAliveTimeout":  "leave it out: idle connections are closed after two minutes",
	"tableKeepAliveTimeout":  "leave it out: idle connections are closed after two minutes",
}

// emulatorFlag returns a message for the first flag of the emulator among the
// arguments of serve.
func emulatorFlag(args []string) string {
	if len(args) == 0 || args[0] != "serve" {
		return ""
	}
	for _, arg := range args[1:] {
		name, ok := strings.CutPrefix(arg, "-")
		if !ok {
			continue
		}
		name = strings.TrimPrefix(name, "-")
		name, _, _ = strings.Cut(name, "=")
		if ours, known := emulatorFlags[name]; known {
			return "serve has no flag " + strings.SplitN(arg, "=", 2)[0] + ", which is the emulator's\n  next: " + ours
		}
	}
	return ""
}
