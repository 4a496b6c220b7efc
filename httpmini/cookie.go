package httpmini

import (
	"net/url"
	"time"
)

// A Cookie is one of a Jar (RFC 6265 §5.3).
type Cookie struct {
	Name, Value string
	Domain      string // lower case, without a dot before it
	Path        string
	HostOnly    bool // goes to Domain alone, not to hosts below it
	Secure      bool // goes over https alone
	HTTPOnly    bool
	Expires     time.Time // zero: at the end of the run
	Created     time.Time
}

// A Jar keeps cookies for a run.
type Jar struct{ cookies []Cookie }

// Header returns the value of the Cookie field for a request to u, "" for none.
func (j *Jar) Header(u *url.URL, now time.Time) string { return "" }

// Store takes the Set-Cookie fields of an answer from u.
func (j *Jar) Store(u *url.URL, h Header, now time.Time) {}

// All returns the cookies.
func (j *Jar) All() []Cookie { return j.cookies }

// Set adds c or replaces the one of the same name, domain and path.
func (j *Jar) Set(c Cookie) {}
