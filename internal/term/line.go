package term

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// line is the line being typed, and what its keys do. It holds bytes: what is
// not valid UTF-8 is kept, one byte at a time a rune.
type line struct {
	buf []byte
	pos int // cursor: before buf[pos]

	killed  []byte // for Ctrl-Y; kills in a row add up
	killing bool   // the last key killed
	bell    bool   // something could not be done; whoever rings clears it

	recall func() []string // the history, oldest first, asked for when needed
	past   []string        // what recall said
	at     int             // place in past; len(past): the line in progress
	draft  []byte          // the line in progress, while at is elsewhere

	find *search
}

// search is a Ctrl-R in progress.
type search struct {
	query  []byte
	at     int // place in past of what is shown; len(past): nothing found yet
	failed bool
	buf    []byte // what stood there before
	pos    int
}

const maxQuery = 256 // bytes

// action is what a key asks of whoever holds the line.
type action uint8

const (
	actNone      action = iota
	actEnter            // buf is done
	actEOF              // Ctrl-D on an empty line
	actInterrupt        // Ctrl-C
	actComplete         // Tab: call complete
	actClear            // clear the screen
	actSuspend          // stop the program
)

// reset begins a new line. What was killed stays.
func (l *line) reset() {
	l.buf, l.pos, l.find, l.past, l.at = l.buf[:0], 0, nil, nil, 0
	l.killing = false
	if cap(l.buf) > 64<<10 {
		l.buf = nil
	}
}

// apply does what k asks for.
func (l *line) apply(k key) action {
	if l.find != nil {
		if l.applySearch(k) {
			return actNone
		}
	}
	switch k.code {
	case keyNone:
		return actNone // must not end a run of kills: a key's second half is one
	case keyKillEnd, keyKillStart, keyKillBlank, keyKillWord, keyKillWordBack:
		l.applyKill(k.code)
		return actNone
	}
	l.killing = false
	return l.applyPlain(k)
}

func (l *line) applyPlain(k key) action {
	switch k.code {
	case keyText:
		l.insert(k.text)
	case keyEnter:
		return actEnter
	case keyTab:
		return actComplete
	case keyBackspace:
		l.cut(l.left(l.pos), l.pos)
	case keyEOF:
		if len(l.buf) == 0 {
			return actEOF
		}
		l.cut(l.pos, l.right(l.pos))
	case keyDelete:
		l.cut(l.pos, l.right(l.pos))
	case keyLeft:
		l.pos = l.left(l.pos)
	case keyRight:
		l.pos = l.right(l.pos)
	case keyWordLeft:
		l.pos = l.wordLeft(isWord)
	case keyWordRight:
		l.pos = l.wordRight()
	case keyHome:
		l.pos = 0
	case keyEnd:
		l.pos = len(l.buf)
	case keyUp:
		l.move(-1)
	case keyDown:
		l.move(+1)
	case keyYank:
		l.insert(l.killed)
	case keyTranspose:
		l.transpose()
	case keyClear:
		return actClear
	case keySearch:
		l.startSearch()
	case keyCancel:
	case keyInterrupt:
		return actInterrupt
	case keySuspend:
		return actSuspend
	}
	return actNone
}

// insert puts what fits of s before the cursor, rune by rune.
func (l *line) insert(s []byte) {
	if len(l.buf)+len(s) > MaxLine {
		s = l.fitting(s)
	}
	l.buf = slices.Insert(l.buf, l.pos, s...)
	l.pos += len(s)
}

// fitting drops the runes of s that would make the line too long.
func (l *line) fitting(s []byte) []byte {
	l.bell = true
	room := MaxLine - len(l.buf)
	var fit []byte
	for len(s) > 0 && len(fit) < room {
		_, n := utf8.DecodeRune(s)
		if len(fit)+n <= room {
			fit = append(fit, s[:n]...)
		}
		s = s[n:]
	}
	return fit
}

// cut removes buf[i:j], which has the cursor in it or at an end.
func (l *line) cut(i, j int) {
	l.buf = slices.Delete(l.buf, i, j)
	l.pos = i
}

func (l *line) applyKill(code keyCode) {
	i, j := l.pos, l.pos
	switch code {
	case keyKillEnd:
		j = len(l.buf)
	case keyKillStart:
		i = 0
	case keyKillBlank:
		i = l.wordLeft(isBlack)
	case keyKillWord:
		j = l.wordRight()
	case keyKillWordBack:
		i = l.wordLeft(isWord)
	}
	if !l.killing {
		l.killed = l.killed[:0]
	}
	at := 0
	if j > l.pos {
		at = len(l.killed)
	}
	l.killed = slices.Insert(l.killed, at, l.buf[i:j]...)
	l.killing = true
	l.cut(i, j)
}

// left returns where the character before p begins, its marks included.
func (l *line) left(p int) int {
	for p > 0 {
		r, n := utf8.DecodeLastRune(l.buf[:p])
		p -= n
		if !isMark(r) && !isSilent(r) {
			break
		}
	}
	return p
}

// right returns where the character at p ends, its marks included.
func (l *line) right(p int) int {
	_, n := utf8.DecodeRune(l.buf[p:])
	for p += n; p < len(l.buf); p += n {
		var r rune
		if r, n = utf8.DecodeRune(l.buf[p:]); !isMark(r) && !isSilent(r) {
			break
		}
	}
	return p
}

func isWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || isMark(r)
}

func isBlack(r rune) bool { return !unicode.IsSpace(r) }

// wordLeft returns where the word on the left begins, in what makes one.
func (l *line) wordLeft(in func(rune) bool) int {
	p, inside := l.pos, false
	for p > 0 {
		r, n := utf8.DecodeLastRune(l.buf[:p])
		if inside && !in(r) {
			break
		}
		inside = in(r)
		p -= n
	}
	return p
}

// wordRight returns where the word on the right ends.
func (l *line) wordRight() int {
	p, inside := l.pos, false
	for p < len(l.buf) {
		r, n := utf8.DecodeRune(l.buf[p:])
		if inside && !isWord(r) {
			break
		}
		inside = isWord(r)
		p += n
	}
	return p
}

// transpose swaps the characters on both sides of the cursor, at the end of the
// line the two before it.
func (l *line) transpose() {
	b := l.pos
	if b == len(l.buf) {
		b = l.left(b)
	}
	a, c := l.left(b), l.right(b)
	if a == b {
		l.bell = true
		return
	}
	swapped := slices.Concat(l.buf[b:c], l.buf[a:b])
	copy(l.buf[a:c], swapped)
	l.pos = c
}

// set makes s the line, the cursor at its end.
func (l *line) set(s string) {
	l.buf = append(l.buf[:0], s...)
	l.pos = len(l.buf)
}

func (l *line) loadPast() {
	if l.past == nil && l.recall != nil {
		l.past = l.recall()
		l.at = len(l.past)
	}
}

// move goes back (-1) or forth (+1) in the history.
func (l *line) move(by int) {
	l.loadPast()
	to := l.at + by
	if to < 0 || to > len(l.past) {
		l.bell = true
		return
	}
	if l.at == len(l.past) {
		l.draft = append(l.draft[:0], l.buf...)
	}
	l.at = to
	if to == len(l.past) {
		l.set(string(l.draft))
		return
	}
	l.set(l.past[to])
}

func (l *line) startSearch() {
	l.loadPast()
	l.find = &search{at: len(l.past), buf: slices.Clone(l.buf), pos: l.pos}
}

// applySearch does what k means while searching; false: the search is over,
// what it found is the line, and k is yet to be applied to that.
func (l *line) applySearch(k key) bool {
	f := l.find
	switch k.code {
	case keyNone:
	case keyText:
		for s := k.text; len(s) > 0; {
			_, n := utf8.DecodeRune(s)
			l.searchFor(s[:n])
			s = s[n:]
		}
	case keyBackspace:
		_, n := utf8.DecodeLastRune(f.query)
		f.query, f.at, f.failed = f.query[:len(f.query)-n], len(l.past), false
		l.buf, l.pos = append(l.buf[:0], f.buf...), f.pos
		if len(f.query) > 0 {
			l.seek(len(l.past) - 1)
		}
	case keySearch:
		if len(f.query) > 0 {
			l.seek(f.at - 1)
		}
	case keyCancel:
		l.buf, l.pos, l.find = append(l.buf[:0], f.buf...), f.pos, nil
	default:
		if f.at < len(l.past) && l.at == len(l.past) {
			l.draft = append(l.draft[:0], f.buf...)
		}
		if f.at < len(l.past) {
			l.at = f.at
		}
		l.find = nil
		return false
	}
	return true
}

// searchFor adds a rune to what is looked for.
func (l *line) searchFor(r []byte) {
	f := l.find
	if len(f.query)+len(r) > maxQuery {
		l.bell = true
		return
	}
	f.query = append(f.query, r...)
	if !f.failed { // what failed does not succeed by being longer
		l.seek(min(f.at, len(l.past)-1))
	}
}

// seek shows the newest entry from i back that holds what is looked for and is
// not what is shown already by an earlier match.
func (l *line) seek(i int) {
	f, query := l.find, string(l.find.query)
	for ; i >= 0; i-- {
		at := strings.Index(l.past[i], query)
		if at < 0 || i < f.at && f.at < len(l.past) && l.past[i] == l.past[f.at] {
			continue
		}
		f.at, f.failed = i, false
		l.set(l.past[i])
		l.pos = at
		return
	}
	f.failed, l.bell = true, true
}

// complete takes what may stand from start to the cursor: one candidate is put
// there, with a blank after it unless it ends in a blank, slash or equals sign;
// of several, what they begin with alike. Those it can but show are returned.
func (l *line) complete(start int, candidates []string) []string {
	if start < 0 || start > l.pos || len(candidates) == 0 {
		l.bell = true
		return nil
	}
	common := commonPrefix(candidates)
	typed := string(l.buf[start:l.pos])
	if len(candidates) == 1 {
		if !strings.HasSuffix(common, " ") && !strings.HasSuffix(common, "/") && !strings.HasSuffix(common, "=") {
			common += " "
		}
	} else if len(common) <= len(typed) {
		return candidates
	}
	if len(l.buf)-len(typed)+len(common) > MaxLine {
		l.bell = true
		return nil
	}
	l.cut(start, l.pos)
	l.insert([]byte(common))
	return nil
}

// commonPrefix returns what all of s begin with, in whole runes.
func commonPrefix(s []string) string {
	p := s[0]
	for _, t := range s[1:] {
		n := 0
		for n < len(p) && n < len(t) && p[n] == t[n] {
			n++
		}
		for n > 0 && n < len(p) && !utf8.RuneStart(p[n]) {
			n--
		}
		p = p[:n]
	}
	return p
}

// view is the line as it is to be shown after prompt.
func (l *line) view(prompt string) view {
	if f := l.find; f != nil {
		query, _ := appendShown(nil, f.query, 0, false)
		prompt = "(search '" + string(query) + "'): "
		if f.failed {
			prompt = "(not found '" + string(query) + "'): "
		}
	}
	return view{prompt: prompt, text: l.buf, pos: l.pos}
}
