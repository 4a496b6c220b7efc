// Package httpd serves the files of a directory, by httpmini.Files, takes uploads,
// shows requests, and echoes WebSocket messages on the same port.
//
// A request comes to serve, which decides who may; uploads are in upload.go and
// form.go, what is logged of a request in log.go.
package httpd

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/listen"
	"socketsrv/wsproto"
)

// Mode is its row in the table of the program.
var Mode = cli.Mode{
	Name: "httpd", Args: "[DIR]", Brief: "serve the files of a directory, and a WebSocket echo on the same port",
	Examples: []string{
		"socketsrv -httpd",
		"socketsrv -httpd -host 0.0.0.0 -port 8080 -upload -auth me:secret /srv/files",
		"socketsrv -httpd -D -port 8008",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		h := &httpd{upload: uploads{limit: 1 << 30}}
		h.listener = listen.AddListener(fs, "127.0.0.1", "8008")
		fs.Group("Files")
		fs.Switch(&h.files.NoList, "no-list", "Answers 403 for a directory without index.html instead of a list.")
		fs.Switch(&h.files.Dotfiles, "dotfiles", "Serves names that begin with a dot too.")
		fs.Switch(&h.files.Outside, "follow-links", "Follows links that lead out of DIR too; uploads do not.")
		fs.Switch(&h.files.NoGzip, "no-gzip", "Does not compress text.")
		fs.Func("header", "'N: V'", "Adds this field to every answer; may be repeated.", h.addField)
		fs.Switch(&h.cors, "cors", "Lets pages of any origin read.")
		fs.Switch(&h.upload.on, "upload", "Takes files by PUT and POST.")
		fs.Switch(&h.upload.overwrite, "overwrite", "Lets uploads replace files that exist.")
		fs.Size(&h.upload.limit, "max-upload", "Takes at most SIZE bytes in one request.")
		fs.Group("Other answers")
		fs.Switch(&h.redirects, "L", "Redirects every request to the URL of -redirect-url.")
		fs.String(&h.location, "redirect-url", "URL", "Is where -L leads.")
		fs.Switch(&h.debug, "D", "Serves nothing: shows every request on stdout and answers 200.")
		fs.Switch(&h.showSecrets, "show-secrets", "Shows passwords and cookies in what -D shows.")
		h.tls = listen.AddTLS(fs)
		h.ws = listen.AddWebSocket(fs, true)
		h.output = fs.Output()
		h.output.Lossy = true
		fs.Check(h.check)
		return h.run
	},
	Checks: []cli.Check{
		{Name: "files", Run: checkFiles},
		cli.EchoCheck("WebSocket on the same port", "http", "ws", "httpd", "-port", "0"),
	},
}

type httpd struct {
	listener    *listen.Listener
	files       httpmini.Files
	cors        bool
	upload      uploads
	redirects   bool
	location    string
	debug       bool
	showSecrets bool
	tls         *listen.TLS
	ws          *listen.WebSocket
	output      *cli.Output

	con    *cli.Console
	now    func() time.Time
	proto  string
	accept wsproto.AcceptOptions // who may read
	write  wsproto.AcceptOptions // who may write: pages of other origins only if -origin names them
	counts struct{ requests, bytes, uploads, shown atomic.Int64 }
}

// ownFields are the fields of an answer that are ours to write.
var ownFields = append([]string{"accept-ranges", "content-encoding", "content-range", "date", "trailer"}, cli.Reserved...)

func (h *httpd) addField(s string) error {
	field, err := cli.ParseField(s)
	if err == nil && slices.Contains(ownFields, strings.ToLower(field.Name)) {
		err = errors.New("want a field that is not the server's own, as " + field.Name + " is")
	}
	h.files.Header = append(h.files.Header, field)
	return err
}

func (h *httpd) check() error {
	h.redirects = h.redirects || h.location != ""
	switch {
	case h.redirects && h.location == "":
		return cli.Usagef("-L: want -redirect_url as well")
	case httpmini.Header{{Name: "Location", Value: h.location}}.Check() != nil:
		return cli.Usagef("-redirect_url: want no control characters")
	case h.debug && (h.redirects || h.upload.on), h.redirects && h.upload.on:
		return cli.Usagef("-D, -L and -upload exclude each other")
	case h.upload.overwrite && !h.upload.on:
		return cli.Usagef("-overwrite: want -upload as well")
	}
	if h.cors {
		h.files.Header = append(h.files.Header, httpmini.Field{Name: "Access-Control-Allow-Origin", Value: "*"},
			httpmini.Field{Name: "Access-Control-Expose-Headers", Value: "*"})
	}
	if h.upload.on {
		h.files.Allow, h.files.Form = "GET, HEAD, OPTIONS, PUT, POST", true
	}
	return nil
}

func (h *httpd) run(ctx context.Context, env *cli.Env, args []string) error {
	con, err := h.output.Open(env)
	if err != nil {
		return err
	}
	defer con.Close()
	h.con, h.now = con, env.Now
	if !h.debug && !h.redirects {
		if err := h.openRoot(cmp.Or(append(args, ".")[0], ".")); err != nil {
			return cli.Fail(cli.ExitRead, err)
		}
		defer h.files.Root.Close()
	}
	h.listener.Refuse = httpmini.Refuse
	ln, err := h.listener.Open(ctx, env, con, "http", h.tls)
	if err != nil {
		return err
	}
	defer ln.Close()
	ws := h.webSocket()
	for _, url := range addresses(h.proto, ln.Addr()) {
		con.Status("%s", url)
	}
	handler := ws.ServeExchange
	if h.debug || h.redirects { // all requests are alike, handshakes too
		handler = h.serve
	}
	s := &httpmini.Server{
		Handler:      h.logged(handler),
		Date:         true,
		HeadTimeout:  h.listener.HandshakeTimeout,
		IdleTimeout:  h.listener.IdleTimeout,
		ErrorLog:     h.trouble,
		OnBadRequest: h.unreadable,
	}
	err = listen.ServeAll(ctx, &h.listener.Serving, func(ctx context.Context) {
		ln.Close()
		var all sync.WaitGroup
		all.Go(func() { s.Shutdown(ctx) })
		all.Go(func() { ws.Shutdown(ctx) })
		all.Wait()
	}, func() error { return s.Serve(ln) })
	h.summary()
	return err
}

// openRoot opens what is served: a folder, or one file.
func (h *httpd) openRoot(name string) (err error) {
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		name, h.files.Only, h.files.Outside = filepath.Dir(name), filepath.Base(name), true
	}
	h.files.Root, err = os.OpenRoot(name)
	return err
}

// addresses are the URLs to type where a server listens on all interfaces, one for
// each of them.
func addresses(proto string, at net.Addr) (urls []string) {
	tcp, ok := at.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return nil
	}
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok || n.IP.IsLinkLocalUnicast() || tcp.IP.To4() != nil && n.IP.To4() == nil {
				continue
			}
			urls = append(urls, proto+"://"+net.JoinHostPort(n.IP.String(), strconv.Itoa(tcp.Port))+"/")
			break
		}
	}
	return urls
}

// webSocket is the server that echoes, and leaves what is no handshake to h.
func (h *httpd) webSocket() *wsproto.Server {
	s := h.ws.Server(&h.listener.Serving, h.con, h.tls.Enabled(), nil)
	s.Accept.Header = h.files.Header
	s.HTTP = h.serve
	s.OnMessage = func(u *wsproto.User, m wsproto.Message) { u.Reply(m.Opcode, m.Data) }
	writes := *h.ws
	writes.Writes = true
	h.proto, h.accept, h.write = "http", s.Accept, writes.AcceptOptions(h.tls.Enabled())
	if h.tls.Enabled() {
		h.proto = "https"
	}
	h.write.Header = h.files.Header
	return s
}

// serve answers what is no handshake.
func (h *httpd) serve(x *httpmini.Exchange) {
	req := x.Request
	writes := h.upload.on && (req.Method == "PUT" || req.Method == "POST")
	policy := &h.accept
	if writes {
		policy = &h.write
	}
	if h.cors && isPreflight(req) { // comes without the password
		open := *policy
		open.Authorize = nil
		policy = &open
	}
	if req.Host() == "" || h.debug { // -D has nothing that a page could take; as in HTTP/1.0; browsers, which a foreign name may have led here, say it
		open := *policy
		open.AllowHost = nil
		policy = &open
	}
	if refusal := policy.Admit(req); refusal != nil {
		if h.debug {
			h.show(x, refusal.Status).end(nil, 0, nil)
		}
		x.Send(refusal)
		return
	}
	switch {
	case h.cors && isPreflight(req):
		if h.debug {
			h.show(x, 204).end(nil, 0, nil)
		}
		h.preflight(x)
	case h.redirects:
		x.Respond(301, h.fields(httpmini.Field{Name: "Location", Value: h.location}, httpmini.Field{Name: "Cache-Control", Value: "no-store"}), nil)
	case h.debug:
		h.reveal(x)
	case writes:
		h.receive(x)
	default:
		h.files.Serve(x)
	}
}

// fields are those of an answer that is not httpmini.Files's; -header replaces those
// of the same name here, too.
func (h *httpd) fields(own ...httpmini.Field) httpmini.Header {
	own = slices.DeleteFunc(own, func(f httpmini.Field) bool { return h.files.Header.Has(f.Name) })
	return append(own, h.files.Header...)
}

// text answers with a line of text.
func (h *httpd) text(x *httpmini.Exchange, status int, line string, own ...httpmini.Field) {
	own = append(own, httpmini.Field{Name: "Content-Type", Value: "text/plain; charset=utf-8"}, httpmini.Field{Name: "X-Content-Type-Options", Value: "nosniff"})
	x.Respond(status, h.fields(own...), []byte(line+"\n"))
}

// isPreflight: a browser asks whether it may send what a page wants it to.
func isPreflight(req *httpmini.Request) bool {
	return req.Method == "OPTIONS" && req.Header.Has("Origin") && req.Header.Has("Access-Control-Request-Method")
}

func (h *httpd) preflight(x *httpmini.Exchange) {
	methods := cmp.Or(h.files.Allow, "GET, HEAD, OPTIONS")
	if h.debug {
		methods = x.Request.Header.Get("Access-Control-Request-Method")
	}
	own := []httpmini.Field{{Name: "Access-Control-Allow-Methods", Value: methods}, {Name: "Access-Control-Max-Age", Value: "600"}}
	if wanted := x.Request.Header.Get("Access-Control-Request-Headers"); wanted != "" {
		own = append(own, httpmini.Field{Name: "Access-Control-Allow-Headers", Value: wanted})
	}
	x.Respond(204, h.fields(own...), nil)
}

// trouble reports why a connection ended. Most of it is the client's doing, and no
// error of ours.
func (h *httpd) trouble(err error) {
	if _, ok := errors.AsType[*httpmini.PanicError](err); ok {
		h.con.Error(err)
		return
	}
	h.con.Status("%s", cli.ErrorText(err))
}

func (h *httpd) summary() {
	c := &h.counts
	h.con.Summary(cli.Counted("requests", c.requests.Load(), "request", ""), cli.Counted("bytes", c.bytes.Load(), "byte", "sent"),
		cli.Counted("uploads", c.uploads.Load(), "file", "taken"))
}

// checkFiles is for -selftest: what was put comes back, whole and in part.
func checkFiles(ctx context.Context, b *cli.Bench) error {
	dir, err := b.Dir()
	if err != nil {
		return err
	}
	_, addr, err := b.Start(ctx, "http", "httpd", "-port", "0", "-upload", dir)
	if err != nil {
		return err
	}
	url := "http://" + addr + "/a.txt"
	for _, want := range []struct {
		stdout string
		args   []string
	}{{"201", []string{"-o", filepath.Join(dir, "answer"), "-w", "%{http_code}", "-X", "PUT", "-d", "0123456789"}}, {"0123456789", nil}, {"3456", []string{"-r", "3-6"}}} {
		if err := b.Run(ctx, want.stdout, append(append([]string{"curl", "-s"}, want.args...), url)...); err != nil {
			return err
		}
	}
	return nil
}
