package httpmini

import (
	"fmt"
	"slices"
	"strings"
)

// Redirects says which redirects are followed, and how (RFC 9110 §15.4). The zero
// value is a careful one.
type Redirects struct {
	Max       int  // redirects in a row; 0 means 10, negative none
	Trusted   bool // other origins get the body, and the fields that may be secret, too
	Downgrade bool // from https to http as well

	// The method is kept with that status where POST would become GET, or with 303
	// any but HEAD.
	Keep301, Keep302, Keep303 bool
}

// Follow returns the URL and the request that come after a, the answer to r; "" and
// nil if a is no redirect (301, 302, 303, 307 and 308 with a Location). It does not
// read a's body, but ends its upload.
//
// Where the scheme, the host or the port is another one, Host is left out, and so
// are the user of the URL and the fields that may be secret: see IsSecret. Where the
// method becomes GET, the body and its fields are left out; else the body is taken
// back to its start. User information in a Location is dropped. A Cookie field that
// a Jar gave for a.URL is the caller's to set anew for next.
//
// Errors wrap ErrTooManyRedirects, ErrURL or ErrScheme (of the Location),
// ErrDowngrade, or ErrRedirect where the body cannot be sent again or would go to
// another origin. nr counts redirects; a request made anew begins at none.
func (p Redirects) Follow(a *Answer, r *Request) (next string, nr *Request, err error) {
	if !slices.Contains([]int{301, 302, 303, 307, 308}, a.Status) || a.Header.Get("Location") == "" {
		return "", nil, nil
	}
	limit := p.Max
	if limit == 0 {
		limit = 10
	}
	if r.followed >= limit {
		return "", nil, ErrTooManyRedirects
	}
	to, err := p.target(a)
	if err != nil {
		return "", nil, err
	}
	nr = &Request{Method: r.Method, HTTP10: r.HTTP10, NoHost: r.NoHost, Header: slices.Clone(r.Header), Body: r.Body, ContentLength: r.ContentLength, Trailer: r.Trailer, followed: r.followed + 1}
	if p.becomesGET(a.Status, r.Method) {
		nr.Method, nr.Body, nr.ContentLength, nr.Trailer = "GET", nil, 0, nil
		nr.Header = slices.DeleteFunc(nr.Header, func(f Field) bool { return IsOfBody(f.Name) })
	}
	same := to.SameOrigin(a.Where)
	if a.Where.HasUser && !nr.Header.Has("Authorization") {
		nr.Header.Add("Authorization", Basic(a.Where.Credentials()))
	}
	if !same {
		nr.Header.Del("Host")
	}
	if !same && !p.Trusted {
		nr.Header = slices.DeleteFunc(nr.Header, func(f Field) bool { return IsSecret(f.Name) })
	}
	if nr.Body != nil {
		if !same && !p.Trusted {
			return "", nil, fmt.Errorf("%w: the body is not for another origin", ErrRedirect)
		}
		a.up.halt()
		if a.x.rewind() != nil {
			return "", nil, fmt.Errorf("%w: the body cannot be sent again", ErrRedirect)
		}
	}
	return to.String(), nr, nil
}

// target returns where a leads.
func (p Redirects) target(a *Answer) (to Where, err error) {
	locations := a.Header.Values("Location")
	if slices.ContainsFunc(locations, func(l string) bool { return l != locations[0] }) {
		return to, fmt.Errorf("%w: two Locations", ErrRedirect)
	}
	to, err = a.Where.Resolve(locations[0])
	switch {
	case err != nil:
	case to.Scheme != "http" && to.Scheme != "https":
		err = ErrScheme
	case a.Where.Secure() && !to.Secure() && !p.Downgrade:
		err = ErrDowngrade
	}
	return to, err
}

// becomesGET reports whether the next request is a GET without a body (RFC 9110
// §15.4.2 to §15.4.4).
func (p Redirects) becomesGET(status int, method string) bool {
	switch status {
	case 301:
		return method == "POST" && !p.Keep301
	case 302:
		return method == "POST" && !p.Keep302
	case 303:
		return method != "HEAD" && !p.Keep303
	}
	return false
}

// IsOfBody reports whether a field of that name speaks of a request's body.
func IsOfBody(name string) bool {
	return hasPrefixFold(name, "Content-") || equalFold(name, "Transfer-Encoding") || equalFold(name, "Trailer") || equalFold(name, "Expect")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && equalFold(s[:len(prefix)], prefix)
}

// IsSecret reports whether a field of that name may be for one origin's eyes only:
// whether its name contains auth, token, key, secret or cookie.
func IsSecret(name string) bool {
	name = strings.ToLower(name)
	for _, s := range []string{"auth", "token", "key", "secret", "cookie"} {
		if strings.Contains(name, s) {
			return true
		}
	}
	return false
}
