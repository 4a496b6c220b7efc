package httpmini_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"

	"socketsrv/httpmini"
)

// A server that answers every request with its path.
func ExampleServer() {
	s := &httpmini.Server{Handler: func(x *httpmini.Exchange) {
		x.Respond(200, httpmini.Header{{Name: "Content-Type", Value: "text/plain"}}, []byte("you asked for "+x.Request.Path()))
	}}
	client, server := net.Pipe()
	go s.ServeConn(server)

	request := httpmini.Request{Method: "GET", Target: "/tea", Header: httpmini.Header{{Name: "Host", Value: "example.org"}}}
	client.Write(request.AppendHead(nil))
	response, err := httpmini.ReadResponse(bufio.NewReader(client), "GET", httpmini.ClientLimits)
	if err != nil {
		fmt.Println(err)
		return
	}
	body, _ := io.ReadAll(response.Body)
	fmt.Printf("%d %s: %s\n", response.Status, response.Reason, body)
	client.Close()
	// Output: 200 OK: you asked for /tea
}

func ExampleReadRequest() {
	wire := "POST /tea HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"
	_, err := httpmini.ReadRequest(bufio.NewReader(strings.NewReader(wire)), httpmini.Limits{})
	fmt.Println(err)
	// Output: http: invalid or repeated Content-Length
}
