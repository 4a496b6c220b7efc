package httpmini

import "errors"

// What a client says of a URL and of answers beside the errors of the parser.
var (
	ErrURL              = errors.New("not a URL that can be fetched")                     // RFC 3986
	ErrScheme           = errors.New("the URL's scheme is neither http nor https")        // RFC 9110 §4.2
	ErrNoTLS            = errors.New("this program was built without TLS")                // tag notls
	ErrNoAnswer         = errors.New("the connection ended before an answer")             // RFC 9112 §8
	ErrHTTP2            = errors.New("the server speaks HTTP/2 only")                     // RFC 9113 §3.4
	ErrSpeaksTLS        = errors.New("the server speaks TLS, not plain HTTP")             // RFC 8446 §5.1
	ErrProxy            = errors.New("the proxy refused the tunnel")                      // RFC 9110 §9.3.6
	ErrBodyLength       = errors.New("the request's body is not as long as it should be") // RFC 9112 §6.3
	ErrContentCoding    = errors.New("the content coding is unknown or broken")           // RFC 9110 §8.4
	ErrTooLarge         = errors.New("the content is larger than accepted")
	ErrTooManyRedirects = errors.New("too many redirects")    // RFC 9110 §15.4
	ErrRedirect         = errors.New("redirect not followed") // RFC 9110 §15.4
	ErrDowngrade        = errors.New("the redirect leads from https to http")
)

// An OpError says what a client was doing when it failed.
type OpError struct {
	Op  string // "connect", "proxy", "tls", "send", "body" (to read the request's), "receive"
	Err error
	Raw string // what had come of a head that did not come to its end
}

func (e *OpError) Error() string { return "http: " + e.Op + ": " + e.Err.Error() }
func (e *OpError) Unwrap() error { return e.Err }

// ProxyError says that the proxy answered CONNECT with something else than a
// tunnel. It wraps ErrProxy.
type ProxyError struct {
	Response *Response // without a body
}

func (e *ProxyError) Error() string {
	return "http: " + ErrProxy.Error() + ": " + statusLine(e.Response)
}
func (e *ProxyError) Unwrap() error { return ErrProxy }
