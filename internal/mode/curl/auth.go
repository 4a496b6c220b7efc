package curl

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"net/url"
	"slices"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"strings"
)

// A login is how far the login at a server or a proxy has come.
type login struct {
	way    string // of the flag: "", "digest" or "any"
	picked string // "basic" or "digest", after a challenge; "none" where there was none
	digest digest
}

// A digest is a challenge of the Digest scheme (RFC 7616 §3.3), and how often it was
// answered.
type digest struct {
	realm, nonce, opaque, algorithm, qop string
	userhash, fresh                      bool
	count                                int
	cnonce                               string
}

// waits says whether nothing can be sent yet but a question for the challenge.
func (l *login) waits() bool { return l.way != "" && l.picked == "" }

// take reads the challenges in the fields of that name, and says whether another
// request may do better than the one that they answer.
func (l *login) take(h httpmini.Header, name string) bool {
	if l.way == "" {
		return false
	}
	basic := false
	for _, value := range h.Values(name) {
		for _, c := range splitChallenges(value) {
			scheme, rest, _ := strings.Cut(strings.TrimSpace(c), " ")
			if basic = basic || strings.EqualFold(scheme, "Basic"); !strings.EqualFold(scheme, "Digest") {
				continue
			}
			d := parseDigest(rest)
			if d.hash() == nil || d.nonce == "" || l.picked == "digest" && !d.fresh {
				continue
			}
			l.picked, l.digest = "digest", d
			return true
		}
	}
	if !basic || l.way != "any" || l.picked != "" {
		return false
	}
	l.picked = "basic"
	return true
}

// field is the value of Authorization or Proxy-Authorization, "" for none.
func (l *login) field(credentials, method, target string) string {
	switch {
	case credentials == "" || l.waits() || l.picked == "none":
		return ""
	case l.picked == "digest":
		user, password, _ := strings.Cut(credentials, ":")
		return l.digest.answer(user, password, method, target)
	}
	return httpmini.Basic(credentials)
}

// splitChallenges splits a WWW-Authenticate (RFC 9110 §11.6.1) where a scheme begins:
// at a comma with a word behind it that no equals sign follows.
func splitChallenges(s string) (all []string) {
	for _, part := range splitQuoted(s, ',') {
		name, _, _ := strings.Cut(strings.TrimSpace(part), "=")
		if n := len(all); n > 0 && !strings.Contains(strings.TrimSpace(name), " ") && strings.Contains(part, "=") {
			all[n-1] += "," + part
		} else {
			all = append(all, part)
		}
	}
	return all
}

func parseDigest(s string) (d digest) {
	values := map[string]string{}
	for _, part := range splitQuoted(s, ',') {
		key, value, _ := strings.Cut(part, "=")
		values[strings.ToLower(strings.TrimSpace(key))] = unquote(strings.TrimSpace(value))
	}
	if strings.Contains(","+strings.ReplaceAll(values["qop"], " ", "")+",", ",auth,") {
		d.qop = "auth"
	}
	d.realm, d.nonce, d.opaque, d.algorithm = values["realm"], values["nonce"], values["opaque"], values["algorithm"]
	d.fresh, d.userhash = strings.EqualFold(values["stale"], "true"), strings.EqualFold(values["userhash"], "true")
	return d
}

// hash is that of the algorithm, nil if it is none that we know.
func (d *digest) hash() func() hash.Hash {
	name := strings.ToUpper(strings.TrimSuffix(strings.ToLower(d.algorithm), "-sess"))
	return map[string]func() hash.Hash{"": md5.New, "MD5": md5.New, "SHA-256": sha256.New, "SHA-512-256": sha512.New512_256}[name]
}

// answer makes the response (RFC 7616 §3.4); without qop as RFC 2069 had it.
func (d *digest) answer(user, password, method, target string) string {
	sum := func(parts ...string) string {
		h := d.hash()()
		h.Write([]byte(strings.Join(parts, ":")))
		return fmt.Sprintf("%x", h.Sum(nil))
	}
	if d.cnonce == "" {
		d.cnonce = rand.Text()
	}
	d.count++
	a1, a2, count := sum(user, d.realm, password), sum(method, target), fmt.Sprintf("%08x", d.count)
	if strings.HasSuffix(strings.ToLower(d.algorithm), "-sess") {
		a1 = sum(a1, d.nonce, d.cnonce)
	}
	if d.userhash {
		user = sum(user, d.realm)
	}
	quote := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
	s := "Digest username=" + quote(user) + ", realm=" + quote(d.realm) + ", nonce=" + quote(d.nonce) + ", uri=" + quote(target)
	if d.qop != "" {
		s += ", cnonce=" + quote(d.cnonce) + ", nc=" + count + ", qop=" + d.qop +
			", response=" + quote(sum(a1, d.nonce, count, d.cnonce, d.qop, a2))
	} else {
		s += ", response=" + quote(sum(a1, d.nonce, a2))
	}
	if d.opaque != "" {
		s += ", opaque=" + quote(d.opaque)
	}
	if d.algorithm != "" {
		s += ", algorithm=" + d.algorithm
	}
	if d.userhash {
		s += ", userhash=true"
	}
	return s
}

// loginAt is the login at the server of the URL under way, which later transfers go on with.
func (t *transfer) loginAt() *login {
	at := t.at
	if t.atHome {
		at = t.url // --location-trusted makes others at home, too
	}
	key := at.Scheme + "://" + at.Address()
	if t.logins[key] == nil || t.logins[key].way != t.o.auth {
		t.logins[key] = &login{way: t.o.auth}
	}
	return t.logins[key]
}

// credentials are the user and the password for the server under way: of -u or the URL,
// which are for nobody else, or of .netrc; "" is nobody.
func (t *transfer) credentials() (string, error) {
	user, whole := "", false
	switch {
	case t.o.hasUser && t.atHome:
		return t.o.user, nil
	case t.at.HasUser:
		user, whole = t.at.Credentials(), t.at.Password != ""
	}
	if !t.o.wantsNetrc() || whole && !t.o.netrc {
		return user, nil
	}
	text, err := t.readNetrc()
	name, _, _ := strings.Cut(user, ":")
	found, ok := "", false
	if err == nil {
		found, ok, err = netrcUser(text, t.at.Host, name)
	}
	switch {
	case err != nil:
		return "", failf(cli.ExitRead, ".netrc error: %v", err)
	case ok:
		return found, nil
	}
	return user, nil
}

// A party is the server or the proxy that a request logs in at.
type party struct {
	*login
	credentials string // user:password, "" for nobody
	ask, tell   string // the fields of its challenge and of the answer to that
}

// parties are the server and the proxy of the request under way; nobody logs in at a
// proxy where there is none, or only a tunnel.
func (t *transfer) parties() (server, proxy party, err error) {
	credentials, err := t.credentials()
	server = party{t.loginAt(), credentials, "WWW-Authenticate", "Authorization"}
	proxy = party{&t.proxyLogin, "", "Proxy-Authenticate", "Proxy-Authorization"}
	if p := t.proxied(); p != nil {
		proxy.credentials = credentialsOf(p.User)
	}
	return server, proxy, err
}

// setLogin gives a request the fields that tell who asks. It says whether a challenge has
// to come before a body is worth sending: --anyauth takes it that none will.
func (t *transfer) setLogin(r *httpmini.Request) (mustAsk bool, err error) {
	server, proxy, err := t.parties()
	if err != nil {
		return false, err
	}
	for _, p := range []party{server, proxy} {
		mustAsk = mustAsk || p.credentials != "" && p.way == "digest" && p.waits()
		if t.o.replaces(p.tell) || p.login == proxy.login && given(t.proxyHeaders, p.tell) != nil {
			continue
		}
		target := r.Target
		if p.login == server.login {
			target = t.at.Target()
		}
		value := p.field(p.credentials, r.Method, target)
		if t.o.bearer != "" && p.login == server.login {
			if value = ""; t.atHome {
				value = "Bearer " + t.o.bearer
			}
		}
		if r.Header.Del(p.tell); value != "" {
			at := slices.IndexFunc(r.Header, func(f httpmini.Field) bool { return !strings.EqualFold(f.Name, "Host") })
			r.Header = slices.Insert(r.Header, max(at, 0), httpmini.Field{Name: p.tell, Value: value})
		}
	}
	return mustAsk, nil
}

// challenged says whether a request is to be sent again because of a 401 or a 407, or
// because it was only a question and nobody asked who we are.
func (t *transfer) challenged(a *httpmini.Answer) bool {
	who, proxy, _ := t.parties()
	switch {
	case a.Status == 407:
		who = proxy
	case t.asking && a.Status < 300:
		who.picked = "none"
		return true
	case a.Status != 401:
		return false
	}
	return who.credentials != "" && who.take(a.Header, who.ask)
}

// credentialsOf is user:password, "" for nobody.
func credentialsOf(u *url.Userinfo) string {
	if u == nil {
		return ""
	}
	password, _ := u.Password()
	return u.Username() + ":" + password
}
