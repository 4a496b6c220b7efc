package curl

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"strings"
)

// all does the transfers one after the other. The last one's error is that of the
// run.
func (s *session) all(ctx context.Context) error {
	var last error
	for i := range s.ops {
		o := &s.ops[i]
		err := s.option(ctx, o)
		last = err
		if o.cookieJar != "" {
			if werr := s.writeCookies(o); werr != nil {
				s.warn("failed to save cookies in %s: %v", o.cookieJar, werr)
			}
		}
		if ctx.Err() != nil || err != nil && s.failEarly {
			return err
		}
	}
	return last
}

// option does the transfers of one option set.
func (s *session) option(ctx context.Context, o *options) (last error) {
	s.goBy(o)
	given, came := s.readCookies(o)
	content, err := o.content(s.env.Stdin)
	if err != nil {
		return s.fatal(cli.ExitRead, "Failed to open/read local data from file/application: %v", cli.ErrorText(err))
	}
	if len(o.outputs) > len(o.urls) && !o.remoteAll {
		s.warn("Got more output options than URLs")
	}
	for i, raw := range o.urls {
		urls, err := o.glob(raw)
		if err != nil {
			return s.fatal(exitBadURL, "%v", err)
		}
		uploads := &glob{literals: []string{""}}
		if i < len(o.uploads) {
			uploads.literals[0] = o.uploads[i]
			if _, err := os.Stat(o.uploads[i]); err != nil { // no file is called so
				if uploads, err = o.glob(o.uploads[i]); err != nil {
					return s.fatal(exitBadURL, "%v", err)
				}
			}
		}
		for n := range uploads.size() * urls.size() {
			t := &transfer{session: s, o: o, content: content, given: given, came: came, number: s.done}
			var values, more []string
			t.upload, more = uploads.at(n / urls.size())
			t.raw, values = urls.at(n % urls.size())
			both := &glob{patterns: slices.Concat(urls.patterns, uploads.patterns)}
			t.target = o.targetOf(i, both, append(values, more...))
			last = t.run(ctx)
			s.done++
			if ctx.Err() != nil || last != nil && s.failEarly {
				return last
			}
		}
	}
	return last
}

// glob is what -g does not read as one.
func (o *options) glob(s string) (*glob, error) {
	if o.noGlob {
		return &glob{literals: []string{s}}, nil
	}
	return parseGlob(s)
}

// targetOf is where the body of URL number i goes.
func (o *options) targetOf(i int, urls *glob, values []string) target {
	t := target{remote: o.remoteAll}
	if i < len(o.outputs) && o.outputs[i] != (target{}) {
		t = o.outputs[i]
	}
	if len(values) > 0 {
		t.name = urls.fill(t.name, values)
	}
	if o.outputDir != "" && t.name != "" && t.name != "-" {
		t.name = filepath.Join(o.outputDir, t.name)
	}
	return t
}

// readCookies fills the jar from the files of -b. It returns what was given there as
// it is, and the Set-Cookie fields of heads that were saved.
func (s *session) readCookies(o *options) (given []string, came httpmini.Header) {
	for _, name := range o.cookies {
		switch {
		case !namesFile(name):
			given = append(given, strings.TrimSpace(name))
		case name != "":
			fields, err := readCookies(s.jar, name, s.env.Stdin, !o.junkSession)
			if err != nil {
				s.warn("failed to read cookies from %s: %v", name, err)
			}
			came = append(came, fields...)
		}
	}
	return given, came
}

// fatal is an error before there is a transfer.
func (s *session) fatal(code int, format string, args ...any) error {
	s.say(code, fmt.Sprintf(format, args...))
	return cli.Fail(code, nil)
}
