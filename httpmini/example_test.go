package httpmini_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"socketsrv/httpmini"
)

// A server that answers every request with its path.
func ExampleServer() {
	s := &httpmini.Server{Handler: func(x *httpmini.Exchange) {
		x.Respond(200, httpmini.Fields("Content-Type", "text/plain"), []byte("you asked for "+x.Request.Path()))
	}}
	client, server := net.Pipe()
	go s.ServeConn(server)

	request := httpmini.Request{Method: "GET", Target: "/tea", Header: httpmini.Fields("Host", "example.org")}
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
			x.Respond(302, httpmini.Fields("Location", "/tea"), nil)
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
		Header:        httpmini.Fields("Content-Type", "text/plain"),
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

// A program that keeps cookies and follows redirects by itself.
func ExampleJar() {
	s := &httpmini.Server{Handler: func(x *httpmini.Exchange) {
		if x.Request.Path() == "/login" {
			x.Respond(302, httpmini.Fields("Location", "/", "Set-Cookie", "session=42"), nil)
			return
		}
		x.Respond(200, nil, []byte("Cookie: "+x.Request.Header.Get("Cookie")))
	}}
	c := &httpmini.Client{Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go s.ServeConn(server)
		return client, nil
	}}
	defer c.CloseIdle()

	var jar httpmini.Jar
	to, r := "http://example.org/login", &httpmini.Request{Method: "POST", Body: strings.NewReader("user=me")}
	for r != nil {
		answer, err := c.Do(context.Background(), to, r)
		if err != nil {
			fmt.Println(err)
			return
		}
		jar.Store(answer.URL, answer.Header, time.Now())
		to, r, err = httpmini.Redirects{}.Follow(answer, r)
		if err == nil && r != nil {
			u, _ := url.Parse(to)
			r.Header.Set("Cookie", jar.Header(u, time.Now()))
		} else if err == nil {
			_, err = io.Copy(os.Stdout, answer.Body)
		}
		answer.Close()
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	// Output: Cookie: session=42
}

// A redirect that leads to another host: what may be secret stays behind.
func ExampleRedirects() {
	from := &httpmini.Answer{Response: &httpmini.Response{Status: 307, Header: httpmini.Fields("Location", "https://other.example/")}}
	from.Where, _ = httpmini.ParseWhere("https://example.org/", "")
	r := &httpmini.Request{Method: "GET", Header: httpmini.Fields("Accept", "*/*", "Authorization", "Bearer 42")}
	to, next, err := httpmini.Redirects{}.Follow(from, r)
	fmt.Println(to, next.Header, err)
	// Output: https://other.example/ [{Accept */*}] <nil>
}
