package main

import (
	"errors"
	"net/url"
	"os"
	"strings"
)

func connection() string { return os.Getenv("AZURE_STORAGE_CONNECTION_STRING") }

func accountName() string { return connectionField("AccountName") }

// connectionField is a field of the connection string.
func connectionField(name string) string {
	for f := range strings.SplitSeq(connection(), ";") {
		if v, ok := strings.CutPrefix(f, name+"="); ok {
			return v
		}
	}
	return ""
}

// withoutURL drops the URL from an HTTP client's error: it carries a signature.
func withoutURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}
