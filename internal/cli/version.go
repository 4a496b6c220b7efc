package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"socketsrv/internal/tlsconf"
)

// Version is the one that doc/changelog.md begins with.
const Version = "0.9.0"

// A build is what the program knows of how it was made.
type build struct {
	commit   string // with a note if the tree was changed; "unknown" without one
	settings []debug.BuildSetting
}

func readBuild() build {
	b := build{commit: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.settings = info.Settings
	changed := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " (modified)"
		}
	}
	b.commit += changed
	return b
}

// writeVersion is one line of what the build knows of itself.
func writeVersion(w io.Writer) error {
	tls := "no"
	if tlsconf.Available {
		tls = "yes"
	}
	_, err := fmt.Fprintf(w, "%s %s, %s, commit %s, %s/%s, TLS %s\n",
		Program, Version, runtime.Version(), readBuild().commit, runtime.GOOS, runtime.GOARCH, tls)
	return err
}

// writeSBOM is the bill of materials, in CycloneDX's JSON: the program, its build
// settings, and the standard library, which is all there is.
func writeSBOM(w io.Writer) error {
	type property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	type component struct {
		Type       string     `json:"type"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		PURL       string     `json:"purl,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	b := readBuild()
	program := component{Type: "application", Name: Program, Version: Version}
	for _, s := range b.settings {
		program.Properties = append(program.Properties, property{s.Key, s.Value})
	}
	library := component{Type: "library", Name: "std", Version: runtime.Version(),
		PURL: "pkg:golang/std@" + strings.TrimPrefix(runtime.Version(), "go")}
	text, err := json.MarshalIndent(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
		"metadata": map[string]any{"component": program}, "components": []component{library},
	}, "", "  ")
	if err == nil {
		_, err = w.Write(append(text, '\n'))
	}
	return err
}
