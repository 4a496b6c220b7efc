package httpmini

import "net/url"

func proxyTo(rawURL string) func(*url.URL) (*url.URL, error) {
	return func(*url.URL) (*url.URL, error) { return url.Parse(rawURL) }
}

// proxyFails is a choice of proxies that fails for one host.
func proxyFails(host string) func(*url.URL) (*url.URL, error) {
	return func(u *url.URL) (*url.URL, error) {
		if u.Host == host {
			return nil, errNoScript
		}
		return nil, nil
	}
}
