package httpmini_test

import (
	"bufio"
	"context"
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

// A program that fetches a page. Dial is there to need no network: without it, the
// Client connects to where the URL says.
func ExampleClient_Get() {
	s := &httpmini.Server{Handler: func(x *httpmini.Exchange) {
		if x.Request.Path() == "/" {
			x.Respond(302, httpmini.Header{{Name: "Location", Value: "/tea"}}, nil)
			return
		}
		x.Respond(200, nil, []byte("you asked for "+x.Request.Path()))
	}}
	c := &httpmini.Client{Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go s.ServeConn(server)
		return client, nil
	}}
	defer c.CloseIdle()

	answer, err := c.Get(context.Background(), "http://example.org/")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Close()
	body, err := io.ReadAll(answer.Body)
	fmt.Printf("%d %s, %v\n", answer.Status, body, err)
	// Output: 200 you asked for /tea, <nil>
}

// An upload by chunks, and an answer that is an error without being one in Go.
func ExampleClient_Do() {
	s := &httpmini.Server{Handler: func(x *httpmini.Exchange) {
		body, _ := io.ReadAll(x.Request.Body)
		x.Respond(418, nil, []byte(strings.ToUpper(string(body))))
	}}
	c := &httpmini.Client{Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go s.ServeConn(server)
		return client, nil
	}}
	defer c.CloseIdle()

	answer, err := c.Do(context.Background(), "http://example.org/pot", &httpmini.Request{
		Method:        "POST",
		Header:        httpmini.Header{{Name: "Content-Type", Value: "text/plain"}},
		Body:          strings.NewReader("coffee, please"),
		ContentLength: -1, // in chunks
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Close()
	body, err := io.ReadAll(answer.Body)
	fmt.Printf("%d %s, %v\n", answer.Status, body, err)
	// Output: 418 COFFEE, PLEASE, <nil>
}
