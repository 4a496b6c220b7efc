package curl

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"socketsrv/httpmini"
	"strconv"
	"strings"
	"time"
)

// maxCookieFile bounds what is read of a file of cookies, in bytes.
const maxCookieFile = 16 << 20

// readCookies adds the cookies of a file in Netscape's format to jar; those without
// an end only where session says so. A file that is not there is empty. The lines of
// a head that was saved are returned: whose they are is not known yet.
func readCookies(jar *httpmini.Jar, name string, stdin io.Reader, session bool) (came httpmini.Header, err error) {
	if name != "-" {
		f, err := os.Open(name)
		if os.IsNotExist(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		stdin = f
	}
	lines := bufio.NewScanner(io.LimitReader(stdin, maxCookieFile))
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		if strings.EqualFold(field, "Set-Cookie") {
			came.Add(field, strings.TrimSpace(value))
		} else if c, ok := parseCookieLine(lines.Text()); ok && (session || !c.Expires.IsZero()) {
			jar.Set(c)
		}
	}
	return came, lines.Err()
}

// parseCookieLine reads domain, subdomains too, path, secure, expires, name, value
// with tabs between.
func parseCookieLine(line string) (c httpmini.Cookie, ok bool) {
	line = strings.TrimRight(line, "\r\n")
	line, c.HTTPOnly = strings.CutPrefix(line, "#HttpOnly_")
	if strings.HasPrefix(line, "#") {
		return c, false
	}
	if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return c, false
	}
	w := strings.Split(line, "\t")
	if len(w) == 6 {
		w = append(w, "") // an empty value
	}
	if len(w) != 7 || w[5] == "" {
		return c, false
	}
	at, err := strconv.ParseInt(w[4], 10, 64)
	c.Domain = strings.ToLower(strings.TrimPrefix(w[0], "."))
	c.HostOnly = !strings.EqualFold(w[1], "TRUE")
	c.Path, c.Secure, c.Name, c.Value = w[2], strings.EqualFold(w[3], "TRUE"), w[5], w[6]
	if at > 0 {
		c.Expires = time.Unix(at, 0)
	}
	return c, err == nil && c.Domain != ""
}

// writeCookies writes all cookies to where o says, "-" being stdout.
func (r *session) writeCookies(o *options) error {
	var b strings.Builder
	b.WriteString("# Netscape HTTP Cookie File\n# written by socketsrv\n\n")
	for _, c := range r.jar.All() {
		b.WriteString(cookieLine(c))
	}
	if o.cookieJar == "-" {
		_, err := r.env.Stdout.Write(o.forTTY(r.env.TTYOut, []byte(b.String())))
		return err
	}
	out := output{name: o.cookieJar}
	defer out.abandon()
	if _, err := io.WriteString(&out, b.String()); err != nil {
		return err
	}
	return out.finish(time.Time{})
}

func cookieLine(c httpmini.Cookie) string {
	word := func(b bool) string { return strings.ToUpper(strconv.FormatBool(b)) }
	prefix, dot, at := "", "", int64(0)
	if c.HTTPOnly {
		prefix = "#HttpOnly_"
	}
	if !c.HostOnly {
		dot = "."
	}
	if !c.Expires.IsZero() {
		at = c.Expires.Unix()
	}
	return fmt.Sprintf("%s%s%s\t%s\t%s\t%s\t%d\t%s\t%s\n", prefix, dot, c.Domain, word(!c.HostOnly), c.Path, word(c.Secure), at, c.Name, c.Value)
}

// namesFile says whether -b names a file: only that starts the cookie engine, as "" does.
func namesFile(s string) bool { return !strings.Contains(s, "=") }
