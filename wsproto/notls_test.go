//go:build notls

package wsproto

import (
	"context"
	"errors"
	"net"
	"testing"
)

func TestDialWithoutTLS(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	_, _, err := Dial(t.Context(), "wss://box/", DialOptions{NetDial: func(context.Context, string, string) (net.Conn, error) { return client, nil }})
	if !errors.Is(err, ErrNoTLS) {
		t.Errorf("Dial of wss: %v; want %v", err, ErrNoTLS)
	}
	if _, err := client.Write([]byte("x")); err == nil {
		t.Error("the connection is left open")
	}
}
