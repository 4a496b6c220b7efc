package httpmini

// Redirects says which redirects are followed (RFC 9110 §15.4).
type Redirects struct {
	Max                       int  // redirects in a row; 0 means 10, negative none
	Trusted                   bool // secrets and bodies go to other origins too
	Downgrade                 bool // from https to http
	Keep301, Keep302, Keep303 bool // the method, where POST would become GET
}

// Follow returns the URL and the request that come after a, the answer to r, or
// "" and nil if it is no redirect.
func (p Redirects) Follow(a *Answer, r *Request) (next string, nr *Request, err error) {
	return "", nil, nil
}
