// Command device simulates a thermostat that speaks lines: "temp?" and "set 21.5"
// beside the "ping" and "disconnect" of every line server.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"strconv"
	"strings"
	"sync"

	"socketsrv/linesrv"
)

type thermostat struct {
	mu     sync.Mutex
	target float64
}

func (t *thermostat) handle(c *linesrv.Conn, cmd linesrv.Command) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	word, value, _ := strings.Cut(cmd.String(), " ")
	switch word {
	case "temp?":
		return c.SendString(strconv.FormatFloat(t.target, 'f', 1, 64))
	case "set":
		degrees, err := strconv.ParseFloat(value, 64)
		if err != nil || degrees < 5 || degrees > 30 {
			return c.SendString("error: want 5 to 30")
		}
		t.target = degrees
		return c.SendString("ok")
	}
	return linesrv.Unknown(c, cmd)
}

func main() {
	addr := flag.String("addr", "127.0.0.1:5001", "listen here")
	flag.Parse()
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", ln.Addr())
	t := &thermostat{target: 20}
	log.Fatal((&linesrv.Server{Handler: t.handle, NoShutdown: true}).Serve(ln))
}
