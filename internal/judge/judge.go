// Package judge judges WebSocket endpoints: echo servers and echo clients of any
// make. Server connects to a server once for each case; Client listens and serves
// the URLs by which a client drives itself through the cases.
//
// A Case is a conversation with the endpoint: steps that send (do…) and steps that
// judge (must…, in steps.go), over a prober (wire.go), which writes any frame, legal
// or not, and reads strictly. The cases of Autobahn's public catalogue have its
// numbers (catalogue.go, volume.go); those beyond it have names that begin with x.
// (handshake.go, rules.go, limits.go, compressed.go, offers.go). Most cases are lines
// of text (script.go), and those that stand for themselves are in cases.txt. A Result
// has two grades, as Autobahn gives them: how the endpoint behaved and how the
// connection ended. Reports are made from Results (report.go).
//
// Nothing here uses package wsproto, so that it can contradict it. Begin reading
// with Case, script.go and the lines of section 2 in cases.txt.
package judge

import (
	"context"
	"errors"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Grade is what a case came to, in the order from good to bad.
type Grade uint8

const (
	OK             Grade = iota
	Informational        // the RFCs leave it open
	NonStrict            // against a SHOULD, or later than it could be
	Unimplemented        // the endpoint does not speak permessage-deflate this way
	WrongCode            // of the end alone: a Close frame with a code that does not fit
	Unclean              // of the end alone: no closing handshake
	FailedByClient       // of the end alone: the server left it to us to close the TCP connection
	Failed
)

// String is the grade in Autobahn's words.
func (g Grade) String() string {
	return [...]string{"OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT", "FAILED"}[g]
}

// Side says which end of a connection the judged endpoint is.
type Side uint8

const (
	ServerSide Side = iota
	ClientSide
)

func (s Side) String() string { return [...]string{"server", "client"}[s] }

// Case is one conversation with an echo endpoint.
type Case struct {
	ID      string // 7.9.1, or x.close.1016
	Title   string // what is sent and what must come of it
	Section string // of the RFCs, which says so; may be ""

	side  Side // if only is set
	only  bool // the case is for one side
	ext   []pmd
	heavy bool          // large: few of them at once
	open  bool          // the RFCs leave it open: never worse than INFORMATIONAL
	info  bool          // INFORMATIONAL whatever comes, as in the catalogue
	limit bool          // open unless the endpoint's limit is known
	total time.Duration // how long it may take in all; 0: twelve times the wait
	first []wireFrame   // sent along with our half of the opening handshake
	offer string        // Sec-WebSocket-Extensions word for word, where ext cannot say it
	// refuses: the endpoint has to refuse the opening handshake. A server answers
	// with the status that begins with it; of a client it is "yes".
	refuses string
	answer  string // as offer, for us as server
	head    string // the opening handshake word for word (handshake.go)
	steps   []step
}

// newCase makes a case; the section stands in parentheses at the end of the title.
func newCase(id, title string, steps ...step) Case {
	c := Case{ID: id, Title: title, steps: steps}
	if i := strings.LastIndex(title, " ("); i >= 0 && strings.HasSuffix(title, ")") && (strings.Contains(title[i:], "§") || strings.Contains(title[i:], "RFC")) {
		c.Title, c.Section = title[:i], title[i+2:len(title)-1]
	}
	return c
}

func (c Case) of(s Side) Case               { c.side, c.only = s, true; return c }
func (c Case) offering(offer string) Case   { c.offer = offer; return c.of(ServerSide) }
func (c Case) answering(answer string) Case { c.answer = answer; return c.of(ClientSide) }
func (c Case) refusing(status string) Case  { c.refuses = status; return c }
func (c Case) catalogued() bool             { return c.ID[0] != 'x' }

// Volume says how much the cases of sections 9, 12 and 13 send.
type Volume uint8

const (
	Normal Volume = iota // section 9 whole; in 12 and 13 up to 1 MiB a case instead of 1,000 messages
	Quick                // what a test of one's own has time for
	Full                 // everything that the catalogue sends: minutes
)

// Options say what is judged and how. The zero value judges everything.
type Options struct {
	Cases   []string            // patterns with *; those with a number name cases of the catalogue alone; none: all cases
	Exclude []string            // patterns of cases to leave out
	Except  map[string][]string // patterns of agents, and of cases to leave out for them
	Fields  string              // lines for the requests to a server, each with its CRLF
	Agent   string              // the server's name in reports; "": what it calls itself
	Jobs    int                 // cases at once; 0: 8
	Wait    time.Duration       // how long the endpoint may do nothing; 0: 5 s
	Limit   int64               // the endpoint's largest message in bytes; 0: unknown
	Volume  Volume

	// OnResult is called with each result, of servers in the order of the cases, never
	// twice at once.
	OnResult func(Result)
}

func (o Options) withDefaults() Options {
	if o.Jobs <= 0 {
		o.Jobs = 8
	}
	if o.Wait <= 0 {
		o.Wait = 5 * time.Second
	}
	return o
}

// Result is what a case came to.
type Result struct {
	Case
	Agent      string
	Side       Side
	Behavior   Grade
	Close      Grade
	Finding    string // what came instead of what had to come; "" if nothing is to be said
	Started    time.Time
	Duration   time.Duration
	RemoteCode int    // of the endpoint's Close frame; 0: none
	Turns      []Turn // what went over the wire
}

// Worst is the worse grade of the two.
func (r Result) Worst() Grade { return max(r.Behavior, r.Close) }

// Passed tells whether neither grade is FAILED.
func (r Result) Passed() bool { return r.Worst() != Failed }

func (r Result) unplayed() bool { return r.Started.IsZero() }

// Select is the cases for one side, in order.
func Select(side Side, o Options) []Case {
	limit := o.Limit
	if limit == 0 {
		limit = 16 << 20
	}
	all := slices.Clone(everyCase(o.Volume, limit))
	if len(o.Cases) == 0 {
		o.Cases = []string{"*", "x.*"}
	}
	return slices.DeleteFunc(all, func(c Case) bool {
		return c.only && c.side != side || !matches(o.Cases, c.ID) || matches(o.Exclude, c.ID)
	})
}

// built is what everyCase built last: a run asks for the same cases more than once.
var built struct {
	sync.Mutex
	volume Volume
	limit  int64
	cases  []Case
}

// everyCase is the cases for both sides, in order, those with numbers first.
func everyCase(v Volume, limit int64) []Case {
	built.Lock()
	defer built.Unlock()
	if built.cases == nil || built.volume != v || built.limit != limit {
		numbered := slices.Concat(framing(), texts(), closing(), limits(v), compression(v))
		sort.Slice(numbered, func(i, j int) bool { return slices.Compare(numbers(numbered[i].ID), numbers(numbered[j].ID)) < 0 })
		built.volume, built.limit = v, limit
		built.cases = slices.Concat(numbered, handshakes(), frameCases(), closeCases(), streamCases(), textCases(), pingCases(), limitCases(limit), deflateCases(), offerCases())
	}
	return built.cases
}

// numbers is the parts of a case's number.
func numbers(id string) (all []int) {
	for part := range strings.SplitSeq(id, ".") {
		n, _ := strconv.Atoi(part)
		all = append(all, n)
	}
	return all
}

// matches tells whether a pattern names the case: * stands for anything, but a
// case beyond the catalogue is only named by what begins with x.
func matches(patterns []string, id string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		p, _ = strings.CutSuffix(strings.TrimSpace(p), ".")
		return (id[0] == 'x') == strings.HasPrefix(p, "x") && glob(p, id)
	})
}

// glob tells whether a pattern with * stands for a name.
func glob(pattern, name string) bool {
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	for i := len(before); i <= len(name) && strings.HasPrefix(name, before); i++ {
		if glob(after, name[i:]) {
			return true
		}
	}
	return false
}

// excepted tells whether a case is left out for an agent.
func (o Options) excepted(agent, id string) bool {
	for pattern, cases := range o.Except {
		if glob(pattern, agent) && matches(cases, id) {
			return true
		}
	}
	return false
}

// all plays the cases, Jobs of them at once, and at most two heavy ones.
func (o Options) all(ctx context.Context, cases []Case, play func(context.Context, Case) Result) []Result {
	results, done := make([]Result, len(cases)), make([]chan struct{}, len(cases))
	slots, large := make(chan struct{}, o.Jobs), make(chan struct{}, 2)
	for i := range done {
		done[i] = make(chan struct{})
	}
	var group sync.WaitGroup
	group.Go(func() {
		for i := range cases {
			<-done[i]
			if o.OnResult != nil && !results[i].unplayed() {
				o.OnResult(results[i])
			}
		}
	})
	for i, c := range cases {
		slots <- struct{}{}
		group.Go(func() {
			if c.heavy {
				large <- struct{}{}
				defer func() { <-large }()
			}
			results[i] = play(ctx, c)
			close(done[i])
			<-slots
		})
	}
	group.Wait()
	return results
}

// judged fills in a result from what a conversation came to.
func (r *Result) judged(err error, limitKnown bool) {
	if r.info {
		r.Behavior, r.Close = Informational, Informational
	}
	var f *finding
	switch {
	case err == nil:
		return
	case errors.As(err, &f):
		r.Behavior, r.Close = f.grade, f.close
	default:
		r.Behavior, r.Close = Failed, Failed
	}
	r.Finding = err.Error()
	if about := sectionOf(r.ID); r.Close == WrongCode && (about == "7" || about == "x.close") { // the code is what the case is about
		r.Behavior = Failed
	}
	if r.open || r.info || r.limit && !limitKnown {
		r.Behavior, r.Close = min(r.Behavior, Informational), min(r.Close, Informational)
	}
}
