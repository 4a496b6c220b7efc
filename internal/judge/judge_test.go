package judge

import (
	"bytes"
	"compress/flate"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestCatalogue counts the cases against the published catalogue.
func TestCatalogue(t *testing.T) {
	seen, sections := map[string]bool{}, map[string]int{}
	for _, side := range []Side{ServerSide, ClientSide} {
		clear(seen)
		clear(sections)
		for _, c := range Select(side, Options{}) {
			if seen[c.ID] {
				t.Errorf("two cases have the name %s", c.ID)
			}
			seen[c.ID] = true
			section, _, _ := strings.Cut(c.ID, ".")
			sections[section]++
			if c.Title == "" || len(c.steps) == 0 {
				t.Errorf("case %s says or does nothing", c.ID)
			}
		}
		total := 0
		for section, want := range map[string]int{"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "9": 54, "10": 1, "12": 90, "13": 126} {
			if sections[section] != want {
				t.Errorf("section %s has %d cases, the catalogue has %d", section, sections[section], want)
			}
			total += sections[section]
		}
		if total != 517 {
			t.Errorf("%d cases, the catalogue has 517", total)
		}
	}
}

// TestDeflate holds the judge's own deflate against compress/flate.
func TestDeflate(t *testing.T) {
	for _, d := range sampleTexts() {
		for _, window := range []int{256, 1024, 32768} {
			for _, keep := range []bool{false, true} {
				out, in := &deflater{window: window, keep: keep}, &inflater{window: window, keep: keep}
				next := d.cutter(3000)
				for i := range 5 {
					want := next(i)
					got, err := in.message(out.message(want))
					if err != nil || !bytes.Equal(got, want) {
						t.Fatalf("%s, window %d, takeover %t, message %d: %v", d.about, window, keep, i, err)
					}
				}
			}
		}
	}
	var b bytes.Buffer
	for level := range 10 {
		b.Reset()
		w, _ := flate.NewWriter(&b, level)
		_, _ = w.Write(sampleTexts()[0].cutter(60000)(0))
		_ = w.Flush()
		whole := b.Bytes()[:b.Len()-4]
		if got, err := (&inflater{window: 32768}).message(whole); err != nil || !bytes.Equal(got, sampleTexts()[0].cutter(60000)(0)) {
			t.Errorf("level %d: %v", level, err)
		}
		if _, err := (&inflater{window: 256}).message(whole); level > 0 && err == nil {
			t.Errorf("level %d: a window of 32,768 went through as one of 256", level)
		}
	}
}

const exampleKey = "\x37\xfa\x21\x3d" // of RFC 6455 §5.7

// TestFrames holds the judge's frames against the examples of RFC 6455 §5.7.
func TestFrames(t *testing.T) {
	server, client := &prober{side: ServerSide}, &prober{side: ClientSide}
	for _, c := range []struct {
		p    *prober
		f    wireFrame
		want string
	}{
		{client, txText("Hello"), "810548656c6c6f"},
		{server, parseFrames(`text(key=37fa213d)"Hello"`)[0], "818537fa213d7f9f4d5158"},
		{client, txText("Hel").part(), "010348656c"},
		{client, parseFrames(`text"Hel"+`)[0], "010348656c"},
		{client, parseFrames(`op11(rsv=3,form=16,length=7)"l"*2`)[0], "bb7e00076c6c"},
		{client, parseFrames(`binary(mask=wrong,key=37fa213d)"Hello"`)[0], "828537fa213d7f9f4d5158"},
		{client, parseFrames(`close1000"; \"\xff"`)[0], "880603e83b2022ff"},
		{client, parseFrames(`text(rsv=4)"abc"/2`)[1], "800163"},
		{client, txMore("lo"), "80026c6f"},
		{client, txPing("Hello"), "890548656c6c6f"},
		{server, parseFrames(`pong(key=37fa213d)"Hello"`)[0], "8a8537fa213d7f9f4d5158"},
	} {
		if got := fmt.Sprintf("%x", c.p.append(nil, c.f)); got != c.want {
			t.Errorf("frame %+v is %s, want %s", c.f, got, c.want)
		}
	}
	if got := fmt.Sprintf("%x", client.append(nil, tx(2, make([]byte, 256)))[:4]); got != "827e0100" {
		t.Errorf("256 bytes begin %s, want 827e0100", got)
	}
	if got := fmt.Sprintf("%x", client.append(nil, tx(2, make([]byte, 65536)))[:10]); got != "827f0000000000010000" {
		t.Errorf("64 KiB begin %s, want 827f0000000000010000", got)
	}
}

// TestInflateAgain plays a case twice, as it is for the second of two clients.
func TestInflateAgain(t *testing.T) {
	act := doInflateTo(775)
	for n := range 2 {
		p := &prober{side: ClientSide}
		p.changed = sync.NewCond(&p.mu)
		act(p)
		f := p.queue[0]
		got, err := (&inflater{window: 32768}).message(f[2:])
		if len(got) != 775 || err != nil {
			t.Errorf("time %d: inflates to %d bytes, %v; want 775", n+1, len(got), err)
		}
	}
}
