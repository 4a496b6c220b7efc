package curl

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"strconv"
	"strings"
	"time"
)

// run does the transfer, again and again where --retry says so, and what comes
// after it. The error is a Failure: all has been said.
func (t *transfer) run(ctx context.Context) error {
	t.session.now = t
	start, pause := t.env.Now(), time.Second
	left := t.o.retries
	var why *failure
	for {
		why = t.try(ctx)
		wait, reason := t.retryAfter(why, pause)
		if reason == "" || left == 0 || ctx.Err() != nil || t.o.retryMax > 0 && max(wait, t.env.Now().Sub(start)) > t.o.retryMax {
			break
		}
		t.warn("Problem: %s. Will retry in %v. %d left.", reason, wait, left)
		left--
		if !sleep(ctx, wait) {
			break
		}
		pause = min(2*pause, 10*time.Minute)
		if t.out != nil {
			t.again(why)
		}
	}
	if why != nil {
		t.exit, t.message = why.code, why.text
	}
	return t.end(ctx, why)
}

// end says what is to be said after the last try.
func (t *transfer) end(ctx context.Context, why *failure) error {
	if t.out != nil && (t.response.Status != 304 || t.out.w != nil) { // what was not sent again stays
		readable := why != nil && why.code == cli.ExitRefused && t.out.w != nil // what the server says of an error
		if why == nil || readable {
			if err := t.out.finish(t.fileTime()); err != nil && why == nil {
				why = t.explain(err)
				t.exit, t.message = why.code, why.text
			}
		}
		defer t.out.abandon()
	}
	stopped := ctx.Err() != nil
	if why != nil && !stopped {
		t.say(why.code, why.text)
	}
	if t.verbose {
		t.summary()
	}
	if t.o.writeOut != "" && !stopped {
		t.writeAfter()
	}
	if why == nil {
		return nil
	}
	return cli.Fail(why.code, nil)
}

// fileTime is the time that -R gives to the file.
func (t *transfer) fileTime() (at time.Time) {
	if t.o.remoteTime {
		at, _ = time.Parse(httpDate, t.response.Header.Get("Last-Modified"))
	}
	return at
}

// try does the transfer once.
func (t *transfer) try(ctx context.Context) (why *failure) {
	t.attempt = attempt{begun: t.env.Now(), atHome: true, method: "GET", response: new(httpmini.Response)}
	t.referer, _, _ = strings.Cut(t.o.referer, ";auto")
	if t.o.method != "" {
		t.method = t.o.method
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if t.o.maxTime > 0 {
		timed, stop := context.WithTimeout(ctx, t.o.maxTime)
		defer stop()
		ctx = timed
	}
	err := t.begin()
	if err == errSkipped {
		return nil
	}
	if err == nil {
		defer t.watch(cancel)()
		if t.url.Scheme == "ws" || t.url.Scheme == "wss" {
			err = t.webSocket(ctx)
			t.up = t.gone.Load()
		} else {
			err = t.exchange(ctx)
		}
	}
	t.took = t.env.Now().Sub(t.begun)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errSlow) {
		err = cause
	}
	if t.body != nil {
		t.up = t.body.sent.Load()
		t.body.Close()
	}
	if t.answer != nil {
		t.up = t.answer.Sent()
	}
	if err != nil {
		t.showRefused(err)
		return t.explain(err)
	}
	return nil
}

// begin finds out what is wrong before anything is sent.
func (t *transfer) begin() (err error) {
	t.url, err = parseURL(t.raw, t.o.protoDefault, t.o.asIs)
	t.at = t.url
	switch {
	case err == httpmini.ErrScheme || err == nil && !allows(t.o.protocols, t.url.Scheme):
		return errProtocol(t.url.Scheme)
	case err != nil:
		return err
	case t.noURLUser && t.url.HasUser:
		return failf(exitUser, "URL rejected: Credentials was passed in the URL when prohibited")
	}
	if t.url.Secure() {
		if err := t.makeConfig(); err != nil {
			return err
		}
	}
	if t.jar != nil && len(t.came) > 0 {
		t.jar.Store(t.cookieURL(), t.came, t.env.Now())
	}
	if t.o.etagSave != "" && t.writeBeside(t.o.etagSave, true, nil) != nil {
		t.warn("Failed creating file for saving etags: \"%s\". Skip this transfer", t.o.etagSave)
		t.out = nil
		return failf(cli.ExitRead, "no transfer performed")
	}
	if name := t.o.etagCompare; name != "" {
		text, err := os.ReadFile(name)
		if err != nil {
			t.warn("Failed to open %s: %v", name, reasonOf(err))
		}
		if t.etag = strings.TrimSpace(string(text)); t.etag == "" {
			t.etag = `""`
		}
	}
	if t.o.timeCond != "" {
		ok := false
		if t.condition, ok = parseCondition(t.o.timeCond); !ok {
			t.warn("illegal date format for -z, --time-cond (and not a file name): disabling time condition")
		}
	}
	if t.o.dumpHeader != "" && t.o.dumps == 0 {
		if err := t.dumpHead(nil); err != nil {
			return &errOutput{err}
		}
	}
	return t.openOutput()
}

// allows says whether a list of --proto holds a scheme; nil holds all.
func allows(list []string, scheme string) bool { return list == nil || slices.Contains(list, scheme) }

func errProtocol(scheme string) error {
	return failf(exitUnsupported, "Protocol %q not supported or disabled", scheme)
}

var errSkipped = errors.New("the file is there")

// openOutput finds out where the body is to go, and how much is there already.
func (t *transfer) openOutput() error {
	if t.out == nil {
		t.out = &output{env: t.env, name: t.target.name, folders: t.o.createDirs, raw: t.o.raw}
	}
	o := t.out
	switch {
	case t.target.null:
		o.name = os.DevNull
	case t.target.remote:
		name, err := urlFileName(t.url)
		if err != nil && (!t.o.remoteHeader || err != errNoRemoteName) {
			return failf(cli.ExitWrite, "Remote file name: %v", err)
		}
		o.name = filepath.Join(t.o.outputDir, name)
	case o.name == "-", o.name == "/dev/stdout":
		o.name, o.raw = "", true
	}
	info, err := os.Stat(o.name)
	exists := err == nil && o.name != "" && info.Mode().IsRegular()
	switch {
	case exists && t.o.skipExisting:
		t.out = nil
		t.tell("Note", "skips transfer, %q exists locally", o.name)
		return errSkipped
	case exists && t.o.noClobber:
		o.name = unusedName(o.name)
		o.exclusive = true
	}
	switch {
	case t.o.resume == "":
	case t.o.resume != "-":
		t.resumeAt, _ = strconv.ParseInt(t.o.resume, 10, 64)
	case t.upload == "" && exists:
		t.resumeAt = info.Size()
	}
	o.append = (t.resumeAt > 0 || t.o.resume == "-") && t.upload == ""
	return nil
}

// exchange sends the request, proves who asks for it and follows redirects.
func (t *transfer) exchange(ctx context.Context) error {
	r, err := t.prepare()
	if err != nil {
		return err
	}
	policy := t.o.redirects
	switch policy.Max = t.o.maxRedirects; {
	case policy.Max < 0:
		policy.Max = 1 << 30
	case policy.Max == 0:
		policy.Max = -1
	}
	for {
		a, err := t.send(ctx, r)
		if err != nil {
			return err
		}
		if t.challenged(a) {
			a.Close()
			r.Header = t.header(r)
			if err := rewind(r); err != nil {
				return err
			}
			continue
		}
		if location := a.Header.Get("Location"); location != "" && a.Status/100 == 3 {
			t.redirectURL = location
			if to, err := t.at.Resolve(location); err == nil {
				t.redirectURL = to.String()
			}
		}
		to, nr, err := policy.Follow(a, r)
		if nr == nil && err == nil || !t.o.follow {
			err = t.deliver(a)
			a.Close()
			return err
		}
		a.Close()
		if err != nil {
			return err
		}
		if scheme, _, _ := strings.Cut(to, ":"); !allows(t.o.protocols, scheme) || !allows(t.o.redirProtocols, scheme) {
			return errProtocol(scheme)
		}
		t.obeyed = t.obeyed || t.o.obey && (nr.Method != r.Method || a.Status == 303)
		t.redirected(to, nr)
		r = nr
	}
}

// send does one request. -X names its method, whatever redirects made of it, unless
// that is --follow.
func (t *transfer) send(ctx context.Context, r *httpmini.Request) (*httpmini.Answer, error) {
	t.sentReferer = r.Header.Get("Referer")
	sent := *r
	sent.Header = slices.Clone(r.Header)
	if t.o.method != "" && !t.obeyed {
		sent.Method = t.o.method
	}
	if sent.Body == nil {
		sent.ContentLength = -1 // no Content-Length: 0 where the user gave no data
	}
	if sent.Target == "" {
		sent.Target = t.targetForm()
	}
	if sent.HTTP10 = sent.HTTP10 || t.old; sent.HTTP10 {
		sent.Header.Del("Expect")
		if sent.Body != nil && sent.ContentLength < 0 {
			return nil, failf(exitUpload, "Chunky upload is not supported by HTTP 1.0")
		}
	}
	t.method = sent.Method
	mustAsk, err := t.setLogin(&sent)
	if err != nil {
		return nil, err
	}
	if t.asking = mustAsk && sent.Body != nil; t.asking {
		sent.Body, sent.ContentLength = nil, 0
		sent.Header.Del("Expect")
	}
	if seeker, ok := sent.Body.(io.Seeker); ok && t.o.limitRate > 0 {
		sent.Body = struct {
			io.Reader
			io.Seeker
		}{&slowReader{r: sent.Body, rate: t.o.limitRate}, seeker}
	}
	t.client.ProxyHeader = t.tunnelHeader()
	a, err := t.client.Do(ctx, t.at.String(), &sent)
	if refused, ok := errors.AsType[*httpmini.ProxyError](err); ok && refused.Response.Status == 407 &&
		t.proxyLogin.take(refused.Response.Header, "Proxy-Authenticate") {
		return t.send(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	if t.headErr != nil {
		a.Close()
		return nil, t.headErr
	}
	if a.Status == 417 && sent.Header.Has("Expect") && rewind(r) == nil {
		a.Close()
		r.Header.Del("Expect")
		return t.send(ctx, r)
	}
	t.learn(a)
	return a, nil
}

// rewind takes the body of a request back to its start.
func rewind(r *httpmini.Request) error {
	if s, ok := r.Body.(io.Seeker); ok {
		if _, err := s.Seek(0, io.SeekStart); err != nil {
			return &errInput{err}
		}
	}
	return nil
}

// learn keeps what a final answer tells.
func (t *transfer) learn(a *httpmini.Answer) {
	t.answer, t.response, t.old = a, a.Response, t.old || a.Minor == 0
	t.heads = append(t.heads, a.Header...)
	if etag := a.Header.Get("ETag"); t.o.etagSave != "" && etag != "" && a.Status < 400 {
		if err := t.writeBeside(t.o.etagSave, false, []byte(etag+"\n")); err != nil {
			t.warn("failed to save the ETag: %v", err)
		}
	}
	if t.jar != nil {
		t.jar.Store(t.cookieURL(), a.Header, t.env.Now())
	}
}

// targetForm is the target of a request: the path as it was typed, behind the whole
// URL for a proxy.
func (t *transfer) targetForm() string {
	if t.proxied() != nil {
		return t.at.Scheme + "://" + t.at.Authority() + t.at.Target()
	}
	return t.at.Target()
}

// redirected notes a redirect, and makes the next request right for where it goes.
func (t *transfer) redirected(to string, r *httpmini.Request) {
	before := t.at
	t.at, _ = httpmini.ParseWhere(to, "")
	t.redirectURL = ""
	if t.at.SameOrigin(before) {
		t.at.User, t.at.Password, t.at.HasUser = before.User, before.Password, before.HasUser
	} else {
		t.atHome = t.atHome && t.o.redirects.Trusted
	}
	t.redirects++
	t.redirectTime = t.env.Now().Sub(t.begun)
	if strings.HasSuffix(t.o.referer, ";auto") {
		t.referer = before.String()
	}
	r.Header = t.header(r)
	t.info("Issue another request to this URL: '%s'", to)
}
