//go:build notls

package httpmini

import (
	"errors"
	"testing"
)

func TestClientWithoutTLS(t *testing.T) {
	perform(t, func(s *stage) {
		if _, err := s.c.Do(s.t.Context(), "https://a/", &Request{}); !errors.Is(err, ErrNoTLS) {
			t.Errorf("https: %v, want %v", err, ErrNoTLS)
		}
	}, func(p *part) { p.stay() })
}
