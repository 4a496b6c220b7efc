package judge

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// This file reads cases that are written as text: those of cases.txt, and those that
// the groups make from a format. A line is a name, a title (with its section in
// parentheses) and, behind a bar, steps. A step is a verb of verbs, then numbers, then
// frames or events. A semicolon may stand where a step ends.
//
//	2.2 a ping is answered (§5.5.3) | send ping"hi"; end pong"hi"
//
// A frame is an opcode and a quoted payload: text"a", op3"", close1000"reason".
// Behind it, *N repeats the payload, /N cuts it into fragments of N bytes, and + says
// that the message goes on. In parentheses after the opcode stand rsv=BITS, form=BITS
// of the length field, length=N announced whatever the payload, key=HEX, and
// mask=wrong. An event is written as the frame that it came in.

//go:embed cases.txt
var caseLines string

// fixed is the cases of cases.txt that a pattern names.
func fixed(patterns ...string) (all cases) {
	for line := range strings.Lines(caseLines) {
		id, _, _ := strings.Cut(line, " ")
		if strings.Contains(line, " | ") && matches(patterns, id) {
			all.add("%s", strings.TrimSpace(line))
		}
	}
	return all
}

// cases is a group under construction.
type cases []Case

// add appends a case given as a line.
func (all *cases) add(format string, a ...any) *Case {
	head, script, _ := strings.Cut(fmt.Sprintf(format, a...), " | ")
	id, title, _ := strings.Cut(head, " ")
	*all = append(*all, newCase(id, title, parseSteps(script)...))
	return &(*all)[len(*all)-1]
}

// begin puts steps that are code before the others.
func (c *Case) begin(steps ...step) *Case {
	c.steps = append(steps, c.steps...)
	return c
}

// verbs are the steps by name. n are the numbers before the frames, of which the first
// is always there.
var verbs = map[string]func(n []int, frames []wireFrame) step{
	"send":   func(_ []int, frames []wireFrame) step { return doSend(frames...) },
	"frames": func(_ []int, frames []wireFrame) step { return doFrames(frames...) },
	"chops":  func(n []int, frames []wireFrame) step { return doChops(n[0], frames...) },
	"cut":    func(n []int, frames []wireFrame) step { return doCut(n[0], frames...) },
	"drop":   func(n []int, frames []wireFrame) step { return doDrop(n[0], frames...) },
	"begin":  func(n []int, frames []wireFrame) step { return doBegin(frames[0], n[0]) },
	"more":   func(n []int, _ []wireFrame) step { return doMore(n[0]) },
	"rest":   func([]int, []wireFrame) step { return doRest },
	"window": func([]int, []wireFrame) step { return ifWindow },
	"idle":   func([]int, []wireFrame) step { return mustBeIdle },
	"silent": func([]int, []wireFrame) step { return mustStaySilent },
	"get":    func(_ []int, events []wireFrame) step { return mustGet(eventsOf(events)...) },
	"end":    func(_ []int, events []wireFrame) step { return mustEnd(eventsOf(events)...) },
	"quiet":  func(_ []int, events []wireFrame) step { return mustDropQuietly(eventsOf(events)...) },
	"answer": func(n []int, events []wireFrame) step { return mustAnswer(n, eventsOf(events)...) },
	"echo":   func(n []int, events []wireFrame) step { return mustEcho(n[0], eventsOf(events)...) },
	"fail":   func(n []int, events []wireFrame) step { return mustFailBy(n, eventsOf(events)...) },
}

// parseSteps panics where a line is wrong: the lines are ours, and a test reads all.
func parseSteps(script string) (steps []step) {
	words := wordsOf(script)
	for len(words) > 0 {
		verb, numbers, frames := words[0], []int{}, []wireFrame{}
		for words = words[1:]; len(words) > 0; words = words[1:] {
			if strings.Contains(words[0], `"`) {
				frames = append(frames, parseFrames(words[0])...)
			} else if words[0][0] <= '9' {
				for n := range strings.SplitSeq(words[0], ",") {
					numbers = append(numbers, number(n))
				}
			} else {
				break
			}
		}
		if verb == "failfast" { // what follows is what is still to be sent
			return append(steps, mustFailFast(numbers[0], parseSteps(strings.Join(words, " "))...))
		}
		steps = append(steps, verbs[verb](numbers, frames))
	}
	return steps
}

// wordsOf splits at spaces and semicolons outside quotes.
func wordsOf(s string) (words []string) {
	for {
		s = strings.TrimLeft(s, "; ")
		n := 0
		for n < len(s) && s[n] != ' ' && s[n] != ';' {
			if s[n] == '"' {
				quoted, _ := strconv.QuotedPrefix(s[n:])
				n += len(quoted)
			} else {
				n++
			}
		}
		if n == 0 {
			return words
		}
		words, s = append(words, s[:n]), s[n:]
	}
}

var opcodes = map[string]byte{"more": 0, "text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}

func parseFrames(s string) []wireFrame {
	head, _, _ := strings.Cut(s, `"`)
	quoted, err := strconv.QuotedPrefix(s[len(head):])
	if err != nil {
		panic("judge: no frame: " + s)
	}
	payload, _ := strconv.Unquote(quoted)
	rest, goesOn := strings.CutSuffix(s[len(head)+len(quoted):], "+")
	rest, cut, _ := strings.Cut(rest, "/")
	if times, ok := strings.CutPrefix(rest, "*"); ok {
		payload = strings.Repeat(payload, number(times))
	}
	name, options, _ := strings.Cut(strings.TrimSuffix(head, ")"), "(")
	word := strings.TrimRight(name, "0123456789")
	f := tx(opcodes[word], []byte(payload))
	if word == "op" {
		f.op = byte(number(name[len(word):]))
	} else if word != name {
		f = txClose(number(name[len(word):]), payload)
	}
	for option := range strings.SplitSeq(options, ",") {
		f.set(option)
	}
	all := []wireFrame{f}
	if cut != "" {
		all = fragments(f.op, f.rsv, f.payload, number(cut))
	}
	all[len(all)-1].fin = !goesOn
	return all
}

// set sets what stands in parentheses.
func (f *wireFrame) set(option string) {
	name, value, _ := strings.Cut(option, "=")
	switch name {
	case "":
	case "rsv":
		f.rsv = byte(number(value))
	case "form":
		f.form = number(value)
	case "length":
		f.length, _ = strconv.ParseUint(value, 10, 64)
		f.claimed = true
	case "key":
		f.key, _ = hex.DecodeString(value)
	case "mask":
		f.badMask = true
	default:
		panic("judge: no option: " + option)
	}
}

func eventsOf(frames []wireFrame) (events []rxEvent) {
	kinds := map[byte]string{1: "text", 2: "binary", 10: "pong"}
	for _, f := range frames {
		events = append(events, rxEvent{kind: kinds[f.op], data: f.payload})
	}
	return events
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic("judge: no number: " + s)
	}
	return n
}
