package wsproto

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// writerSizes are around where a frame's header, a batch, and the way of writing change.
var writerSizes = []int{0, 1, 125, 126, 1000, 3000, 5000, 20000, 65535, 65536, 70000, 200000}

// writerText refers to what came before it, and is still large when it is compressed.
var writerText = sync.OnceValue(func() []byte {
	random := make([]byte, 150000)
	rand.NewChaCha8([32]byte{7}).Read(random)
	return append(jsonText(50000), hex.EncodeToString(random)...)
})

// A writerStep is a message of one of several writers, or a ping.
func writerStep(b byte, writer, i int, text []byte) (ping, gathered bool, p []byte) {
	size := writerSizes[int(b>>2)%len(writerSizes)]
	p = fmt.Appendf(nil, "%d:%d:", writer, i)
	return b&3 == 3, b&3 == 2, append(p, text[:size]...)
}

// twoWriters has two goroutines send on one connection what plan says, and the peer
// hear all of it, each writer's messages in their order.
func twoWriters(t *testing.T, plan []byte) {
	if len(plan) == 0 {
		return
	}
	params := flows[int(plan[0]>>2)%len(flows)]
	from, to := net.Conn(nil), net.Conn(nil)
	if plan[0]&1 == 0 {
		from, to = net.Pipe()
	} else {
		from, to = tcpPair(t)
	}
	role, other := RoleServer, RoleClient
	if plan[0]&2 == 0 {
		role, other = other, role
	}
	ag := Agreement{Deflate: &params}
	w, r := NewConn(from, nil, role, ag, Config{}), NewConn(to, nil, other, ag, Config{})
	defer from.Close()
	defer to.Close()
	text, half := writerText(), plan[1:1+(len(plan)-1)/2]
	plans := [2][]byte{half, plan[1+len(half):]}
	var all sync.WaitGroup
	all.Go(func() { w.ReadMessage() }) // pongs, and the end
	messages := 0
	for who, steps := range plans {
		for _, b := range steps {
			if b&3 != 3 {
				messages++
			}
		}
		all.Go(func() {
			for i, b := range steps {
				ping, gathered, p := writerStep(b, who, i, text)
				switch {
				case ping:
					w.Ping(p[:4])
				case gathered:
					w.Reply(OpBinary, p)
				default:
					w.WriteMessage(OpBinary, p)
				}
			}
			w.Flush()
		})
	}
	var at [2]int
	for range messages {
		r.SetReadDeadline(time.Now().Add(20 * time.Second)) // of each: all of them are megabytes to compress
		m, err := r.ReadMessage()
		if err != nil {
			t.Fatalf("%x: %v", plan, err)
		}
		who, _ := strconv.Atoi(strings.SplitN(string(m.Data[:4]), ":", 2)[0])
		for plans[who][at[who]]&3 == 3 {
			at[who]++
		}
		if _, _, want := writerStep(plans[who][at[who]], who, at[who], text); !bytes.Equal(m.Data, want) {
			t.Fatalf("%x: writer %d: %d bytes %.20q, want %d bytes %.20q", plan, who, len(m.Data), m.Data, len(want), want)
		}
		at[who]++
	}
	to.Close()
	all.Wait()
}

// TestTwoWriters: what is compressed first is sent first.
func TestTwoWriters(t *testing.T) {
	rnd := rand.NewChaCha8([32]byte{6})
	for i := range 24 {
		plan := make([]byte, 40)
		rnd.Read(plan)
		if i%4 > 0 { // a server, over TCP, and messages that refer to those before
			plan[0] = byte(7+i%7)<<2 | 3
		}
		twoWriters(t, plan)
	}
}

func FuzzTwoWriters(f *testing.F) {
	f.Add([]byte{0x21, 1, 5, 9, 13, 17, 21, 25, 29, 2, 6, 10, 14})
	f.Fuzz(func(t *testing.T, plan []byte) { twoWriters(t, plan[:min(len(plan), 40)]) })
}
