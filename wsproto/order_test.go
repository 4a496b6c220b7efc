package wsproto

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// TestCompressedOrder: with context takeover, messages of several writers are sent in
// the order in which they were compressed, whatever their size.
func TestCompressedOrder(t *testing.T) {
	ag := Agreement{Deflate: &DeflateParams{}}
	near, far := tcpPair(t)
	c := NewConn(near, nil, RoleServer, ag, Config{})
	peer := NewConn(far, nil, RoleClient, ag, Config{})
	const writers, messages = 4, 60
	noise := make([]byte, 200<<10)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	for i := range noise {
		noise[i] = 'a' + noise[i]&15
	}
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := range messages {
				size := 100
				if (w+n)%2 == 0 {
					size = len(noise) - n
				}
				text := append(fmt.Appendf(nil, "%d %d ", w, n), noise[len(noise)-size:]...)
				if err := c.WriteMessage(OpText, text); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	next := [writers]int{}
	for range writers * messages {
		m, err := peer.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		var w, n int
		fmt.Sscan(string(m.Data[:min(len(m.Data), 20)]), &w, &n)
		if n != next[w] || !strings.HasSuffix(string(noise), string(m.Data[len(fmt.Sprintf("%d %d ", w, n)):])) {
			t.Fatalf("message %d of writer %d came, want its %d", n, w, next[w])
		}
		next[w]++
	}
	all.Wait()
	near.Close()
}
