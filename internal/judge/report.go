package judge

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// This file writes results down: for people, for CI, and in Autobahn's form.

// Section is the section of a case's name in tables: 6.4.1 is of 6, x.close.1016 of
// x.close.
func sectionOf(id string) string {
	parts := strings.SplitN(id, ".", 3)
	if parts[0] == "x" {
		return parts[0] + "." + parts[1]
	}
	return parts[0]
}

// grades is the two grades in words, the second one only if it says more.
func (r Result) grades() string {
	if r.Close > r.Behavior || r.Close > Informational && r.Close != r.Behavior {
		return r.Behavior.String() + ", " + r.Close.String()
	}
	return r.Behavior.String()
}

// AppendText appends the line of a result, and for what is not OK, or with all, what
// was wrong and what went over the wire.
func (r Result) AppendText(dst []byte, all bool) []byte {
	dst = fmt.Appendf(dst, "%-24s %-14s %-16s %s\n", r.ID, r.grades(), r.Section, r.Title)
	if !all && r.Finding == "" {
		return dst
	}
	if r.Finding != "" {
		dst = fmt.Appendf(dst, "    %s\n", r.Finding)
	}
	if !all && r.Worst() <= Unimplemented {
		return dst
	}
	for _, t := range r.Turns {
		dst = fmt.Appendf(dst, "    %s %7.1f ms %s\n", map[bool]string{true: "sent", false: "came"}[t.Sent], float64(t.At.Microseconds())/1000, t)
	}
	return dst
}

// String is the bytes of a turn: the head as text if it is HTTP, else in hex.
func (t Turn) String() string {
	more := ""
	if rest := t.Size - int64(len(t.Head)); rest > 0 {
		more = fmt.Sprintf(" and %d bytes more", rest)
	}
	if s := string(t.Head); strings.HasPrefix(s, "GET ") || strings.HasPrefix(s, "HTTP/") {
		head, body, _ := strings.Cut(s, "\r\n\r\n")
		s = fmt.Sprintf("%q", head+"\r\n\r\n")
		if body != "" {
			s += fmt.Sprintf(" % x", body)
		}
		return s + more
	}
	return fmt.Sprintf("% x", t.Head) + more
}

// AppendSummary appends a table for each agent: a line for each section, a column for
// each grade of behavior.
func AppendSummary(dst []byte, results []Result) []byte {
	agents := byAgent(results)
	for _, of := range agents {
		if len(agents) > 1 {
			dst = append(append(dst, of[0].Agent...), '\n')
		}
		dst = appendTable(dst, of)
	}
	return dst
}

func appendTable(dst []byte, results []Result) []byte {
	columns := []Grade{OK, Informational, NonStrict, Unimplemented, Failed}
	var sections []string
	counts := map[string]map[Grade]int{"all": {}}
	for _, r := range results {
		s := sectionOf(r.ID)
		if counts[s] == nil {
			counts[s] = map[Grade]int{}
			sections = append(sections, s)
		}
		counts[s][r.Behavior]++
		counts["all"][r.Behavior]++
	}
	dst = fmt.Appendf(dst, "%-12s", "section")
	for _, g := range columns {
		dst = fmt.Appendf(dst, " %13s", g)
	}
	for _, s := range append(sections, "all") {
		dst = fmt.Appendf(dst, "\n%-12s", s)
		for _, g := range columns {
			dst = fmt.Appendf(dst, " %13d", counts[s][g])
		}
	}
	return append(dst, '\n')
}

// AppendTAP appends the line of result n, counted from 1, in the Test Anything
// Protocol. What is UNIMPLEMENTED is skipped.
func (r Result) AppendTAP(dst []byte, n int) []byte {
	verdict, note := "ok", ""
	switch {
	case !r.Passed():
		verdict = "not ok"
	case r.Behavior == Unimplemented:
		note = " # SKIP UNIMPLEMENTED"
	}
	dst = fmt.Appendf(dst, "%s %d - %s %s%s\n", verdict, n, r.ID, strings.NewReplacer("#", `\#`, "\n", " ").Replace(r.Title), note)
	if r.Worst() > OK {
		dst = fmt.Appendf(dst, "# %s: %s\n", r.grades(), strings.ReplaceAll(r.Finding, "\n", " "))
	}
	return dst
}

// record is a result in JSON.
type record struct {
	indexed
	Agent       string    `json:"agent"`
	Description string    `json:"description"`
	ID          string    `json:"id"`
	IsServer    bool      `json:"isServer"` // the judge
	Result      string    `json:"result"`
	Section     string    `json:"section"`
	Started     string    `json:"started"`
	Wirelog     []wirelog `json:"wirelog,omitempty"`
}

// indexed is a case in index.json.
type indexed struct {
	Behavior      string `json:"behavior"`
	BehaviorClose string `json:"behaviorClose"`
	Duration      int64  `json:"duration"` // in ms
	RemoteCode    *int   `json:"remoteCloseCode"`
	ReportFile    string `json:"reportfile"`
}

type wirelog struct {
	At   float64 `json:"at"` // in ms
	Sent bool    `json:"sent"`
	Size int64   `json:"size"`
	Hex  string  `json:"hex"` // of the first bytes
}

func (r Result) indexed() indexed {
	i := indexed{r.Behavior.String(), r.Close.String(), r.Duration.Milliseconds(), &r.RemoteCode, r.reportFile()}
	if r.RemoteCode == 0 {
		i.RemoteCode = nil
	}
	return i
}

// AppendJSON appends the result as an object: what Autobahn writes of a case, and
// the bytes.
func (r Result) AppendJSON(dst []byte) []byte {
	o := record{indexed: r.indexed(), Agent: r.Agent, Description: r.Title, ID: r.ID, IsServer: r.Side == ClientSide, Result: r.Finding, Section: r.Section, Started: r.Started.UTC().Format("2006-01-02T15:04:05.000Z")}
	for _, t := range r.Turns {
		o.Wirelog = append(o.Wirelog, wirelog{float64(t.At.Microseconds()) / 1000, t.Sent, t.Size, hex.EncodeToString(t.Head)})
	}
	b, _ := json.Marshal(o)
	return append(dst, b...)
}

// AppendIndex appends index.json as Autobahn writes it, by agent and case.
func AppendIndex(dst []byte, results []Result) []byte {
	all := map[string]map[string]indexed{}
	for _, r := range results {
		if all[r.Agent] == nil {
			all[r.Agent] = map[string]indexed{}
		}
		all[r.Agent][r.ID] = r.indexed()
	}
	b, _ := json.MarshalIndent(all, "", "   ")
	return append(append(dst, b...), '\n')
}

// reportFile is the name of a case's report, made as Autobahn makes it.
func (r Result) reportFile() string {
	clean := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return ' '
	}, strings.ToLower(r.Agent))
	return strings.ReplaceAll(strings.TrimSpace(clean), " ", "_") + "_case_" + strings.ReplaceAll(r.ID, ".", "_") + ".json"
}

// WriteDir writes index.json, index.html and a report for each case into a folder,
// which it makes.
func WriteDir(dir string, results []Result) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, r := range results {
		if err := os.WriteFile(filepath.Join(dir, r.reportFile()), r.AppendJSON(nil), 0o666); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "index.html"), AppendHTML(nil, results), 0o666); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "index.json"), AppendIndex(nil, results), 0o666)
}

// WriteJUnit writes the results as a test suite for each agent.
func WriteJUnit(w io.Writer, results []Result) error {
	b := bufio.NewWriter(w)
	text := func(s string) string {
		var e strings.Builder
		_ = xml.EscapeText(&e, []byte(s))
		return e.String()
	}
	fmt.Fprintln(b, `<?xml version="1.0" encoding="UTF-8"?>`+"\n<testsuites>")
	for _, of := range byAgent(results) {
		failures, skipped := 0, 0
		for _, r := range of {
			if !r.Passed() {
				failures++
			} else if r.Behavior == Unimplemented {
				skipped++
			}
		}
		fmt.Fprintf(b, "<testsuite name=\"%s\" tests=\"%d\" failures=\"%d\" skipped=\"%d\">\n", text(of[0].Agent), len(of), failures, skipped)
		for _, r := range of {
			fmt.Fprintf(b, "<testcase classname=\"%s\" name=\"%s\" time=\"%.3f\">", sectionOf(r.ID), text(r.ID+" "+r.Title), r.Duration.Seconds())
			if !r.Passed() {
				fmt.Fprintf(b, "<failure message=\"%s\">%s</failure>", text(r.Finding), text(string(r.AppendText(nil, true))))
			} else if r.Behavior == Unimplemented {
				fmt.Fprint(b, "<skipped/>")
			}
			fmt.Fprintln(b, "</testcase>")
		}
		fmt.Fprintln(b, "</testsuite>")
	}
	fmt.Fprintln(b, "</testsuites>")
	return b.Flush()
}

// byAgent splits results, in the order in which agents come up.
func byAgent(results []Result) [][]Result {
	var all [][]Result
	for _, r := range results {
		i := slices.IndexFunc(all, func(of []Result) bool { return of[0].Agent == r.Agent })
		if i < 0 {
			i, all = len(all), append(all, nil)
		}
		all[i] = append(all[i], r)
	}
	return all
}

const pageHead = `<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>WebSocket conformance</title><style>
body{font:14px/1.4 sans-serif;margin:2em;max-width:70em}pre{white-space:pre-wrap;word-break:break-all}summary{cursor:pointer}
b{display:inline-block;min-width:10em;padding:0 .5em;border-radius:3px;color:#fff;background:#888}.OK{background:#070}.FAILED{background:#b00}.NON-STRICT{background:#a60}.INFORMATIONAL{background:#06a}
#bad:checked~details:has(.OK){display:none}
</style><h1>WebSocket conformance</h1><input type="checkbox" id="bad"><label for="bad">only what is not OK</label>
`

// AppendHTML appends one page, which needs no network. It has the bytes of what is not
// OK, and links to the reports of WriteDir for all of them.
func AppendHTML(dst []byte, results []Result) []byte {
	dst = append(dst, pageHead...)
	for _, of := range byAgent(results) {
		dst = fmt.Appendf(dst, "<h2>%s (%s)</h2>\n<pre>%s</pre>\n", html.EscapeString(of[0].Agent), of[0].Side, AppendSummary(nil, of))
		section := ""
		for _, r := range of {
			if s := sectionOf(r.ID); s != section {
				section = s
				dst = fmt.Appendf(dst, "<h3>%s</h3>\n", s)
			}
			_, detail, _ := strings.Cut(string(r.AppendText(nil, false)), "\n")
			dst = fmt.Appendf(dst, "<details><summary><b class=%q>%s</b> %s %s <i>%s</i></summary><pre>%s</pre><a href=%q>all bytes</a></details>\n",
				r.Worst(), r.grades(), r.ID, html.EscapeString(r.Title), html.EscapeString(r.Section), html.EscapeString(detail), r.reportFile())
		}
	}
	return append(dst, "</html>\n"...)
}

// Spec is a file of wstest, fuzzingclient.json or fuzzingserver.json; what else it
// holds has no meaning here.
type Spec struct {
	URL     string // where fuzzingserver listens
	Outdir  string
	Servers []struct{ Agent, URL string }
	Cases   []string
	Exclude []string            `json:"exclude-cases"`
	Except  map[string][]string `json:"exclude-agent-cases"`
}

// ReadSpec reads one.
func ReadSpec(r io.Reader) (s Spec, err error) {
	if err = json.NewDecoder(r).Decode(&s); err == nil && s.URL == "" && len(s.Servers) == 0 {
		err = fmt.Errorf("neither url nor servers")
	}
	return s, err
}
