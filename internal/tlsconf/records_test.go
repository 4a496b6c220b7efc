//go:build !notls

package tlsconf

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
)

// recorded keeps what was read from a connection.
type recorded struct {
	net.Conn
	read bytes.Buffer
}

func (r *recorded) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.read.Write(p[:n])
	return n, err
}

// secret returns two fields of a key log's line: client random and secret.
func secret(t *testing.T, log, label string) (random, key []byte) {
	t.Helper()
	for line := range strings.Lines(log) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == label {
			random, _ = hex.DecodeString(f[1])
			key, _ = hex.DecodeString(f[2])
			return random, key
		}
	}
	t.Fatalf("no %s in the key log", label)
	return nil, nil
}

func newGCM(t *testing.T, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return gcm
}

// misbehave has a client of crypto/tls shake hands with a server of ours that
// then reads, lets evil send what that client never would, and returns the
// server's error and what the client is told.
func misbehave(t *testing.T, config *tls.Config, evil func(nc *recorded, client *tls.Conn, keyLog string)) (server, client error) {
	t.Helper()
	cc, sc := tcpPair(t)
	done := make(chan error)
	go func() {
		nc, err := mustServer(t, Options{}).Handshake(context.Background(), sc)
		if err == nil {
			_, err = io.Copy(io.Discard, nc)
			nc.Close()
		}
		done <- err
	}()
	var keyLog strings.Builder
	config.InsecureSkipVerify = true
	config.KeyLogWriter = &keyLog
	rec := &recorded{Conn: cc}
	c := tls.Client(rec, config)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	evil(rec, c, keyLog.String())
	_, client = c.Read(make([]byte, 1))
	return <-done, client
}

// TestKeyUpdates sends 10,000 KeyUpdate messages (RFC 8446 §4.6.3) at once (TS05).
func TestKeyUpdates(t *testing.T) {
	expand := func(secret []byte, label string, n int) []byte { // RFC 8446 §7.1
		info := binary.BigEndian.AppendUint16(nil, uint16(n))
		info = append(info, byte(len("tls13 "+label)))
		info = append(info, "tls13 "+label+"\x00"...)
		out, err := hkdf.Expand(sha256.New, secret, string(info), n)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	server, client := misbehave(t, &tls.Config{}, func(nc *recorded, c *tls.Conn, keyLog string) {
		if suite := c.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
			t.Skipf("cipher suite %s: no AES here", tls.CipherSuiteName(suite))
		}
		_, key := secret(t, keyLog, "CLIENT_TRAFFIC_SECRET_0")
		var wire []byte
		for range 10_000 {
			head := []byte{23, 3, 3, 0, 6 + 16}
			update := []byte{24, 0, 0, 1, 0, 22} // update_not_requested, then the type: handshake
			wire = append(wire, head...)
			// Each message is the first under its key, so the nonce is the IV.
			wire = newGCM(t, expand(key, "key", 16)).Seal(wire, expand(key, "iv", 12), update, head)
			key = expand(key, "traffic upd", 32)
		}
		nc.Write(wire) // and fails when the server has had enough
	})
	if server == nil || !strings.Contains(server.Error(), "non-advancing") {
		t.Errorf("the server went on: %v", server)
	}
	// What is unread resets the connection; the alert may be lost by that.
	if client == nil || client == io.EOF {
		t.Errorf("the client was told nothing: %v", client)
	}
}

// TestRenegotiation sends a ClientHello within a connection of TLS 1.2 (TS06).
func TestRenegotiation(t *testing.T) {
	prf := func(secret, seed []byte, n int) (out []byte) { // P_SHA256, RFC 5246 §5
		sum := func(p []byte) []byte { m := hmac.New(sha256.New, secret); m.Write(p); return m.Sum(nil) }
		for a := sum(seed); len(out) < n; a = sum(a) {
			out = append(out, sum(append(bytes.Clone(a), seed...))...)
		}
		return out[:n]
	}
	config := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
	server, client := misbehave(t, config, func(nc *recorded, _ *tls.Conn, keyLog string) {
		clientRandom, master := secret(t, keyLog, "CLIENT_RANDOM")
		serverRandom := nc.read.Bytes()[5+4+2:][:32] // record, message, version
		keys := prf(master, append(append([]byte("key expansion"), serverRandom...), clientRandom...), 16+16+4+4)
		hello := append([]byte{1, 0, 0, 38, 3, 3}, make([]byte, 32)...)
		hello = append(hello, 0, 0, 2, 0xc0)
		seq := []byte{0, 0, 0, 0, 0, 0, 0, 1} // Finished was 0
		aad := append(append([]byte{}, seq...), 22, 3, 3, 0, byte(len(hello)))
		body := newGCM(t, keys[:16]).Seal(nil, append(keys[32:36:36], seq...), hello, aad)
		record := append([]byte{22, 3, 3, 0, byte(len(seq) + len(body))}, seq...)
		nc.Write(append(record, body...))
	})
	if server == nil {
		t.Error("the server renegotiated")
	}
	if client == nil || !strings.Contains(client.Error(), "remote error") {
		t.Errorf("the client was told %v, want an alert", client)
	}
}
