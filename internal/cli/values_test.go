package cli

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	good := []struct {
		in   string
		want time.Duration
	}{
		{"500ms", 500 * time.Millisecond},
		{"5s", 5 * time.Second},
		{"1h30m", 90 * time.Minute},
		{"10", 10 * time.Second}, // a plain number is seconds
		{"1.5", 1500 * time.Millisecond},
		{".2", 200 * time.Millisecond},
		{"0", 0},
		{"off", 0},
		{"0.0000000001", 0},
	}
	for _, tt := range good {
		if got, err := ParseDuration(tt.in); got != tt.want || err != nil {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{"", "-1", "-1s", "+5", "5 s", "1e3", "0x10", "5x", "99999999999999999999", "300y", "inf", "1_0", ".", "1."} {
		if got, err := ParseDuration(in); err != errDuration {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", in, got, err, errDuration)
		}
	}
}

func TestParseSize(t *testing.T) {
	good := []struct {
		in   string
		want int64
	}{
		{"0", 0},
		{"512", 512},
		{"64k", 64 << 10},
		{"64K", 64 << 10},
		{"64kB", 64 << 10},
		{"64KiB", 64 << 10},
		{"16M", 16 << 20},
		{"1G", 1 << 30},
		{"2t", 2 << 40},
		{"1.5k", 1536},
		{"9223372036854775807", 1<<63 - 1},
		{"8388607T", 8388607 << 40},
		{"10b", 10},
	}
	for _, tt := range good {
		if got, err := ParseSize(tt.in); got != tt.want || err != nil {
			t.Errorf("ParseSize(%q) = %v, %v; want %v", tt.in, got, err, tt.want)
		}
	}
	bad := []string{"", "k", "-1", "+1", "1e3", "0x10", "1x", "9223372036854775808", "8388608T", "1 k", "1kk", "1_000", "inf", "nan", ".5", "1.", "99999999.9T", "ib"}
	for _, in := range bad {
		if got, err := ParseSize(in); err != errSize {
			t.Errorf("ParseSize(%q) = %v, %v; want %v", in, got, err, errSize)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"0", "64k", "1.5M", "9223372036854775807", "16MiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil {
			return
		}
		if again, err := ParseSize(formatSize(n)); n < 0 || again != n || err != nil {
			t.Errorf("ParseSize(%q) = %d, shown as %q, which is %d, %v", s, n, formatSize(n), again, err)
		}
	})
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "off", time.Second: "1s", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", 2 * time.Hour: "2h",
		500 * time.Millisecond: "500ms", 20 * time.Second: "20s",
	} {
		got := FormatDuration(d)
		if back, err := ParseDuration(got); got != want || back != d || err != nil {
			t.Errorf("formatDuration(%v) = %q, which is %v, %v; want %q", d, got, back, err, want)
		}
	}
}

func TestClip(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"abcdef", 6, "abcdef"},
		{"abcdefg", 6, "abc…"},
		{"abéfgh", 6, "ab…"}, // not in the middle of é
	} {
		if got := Clip(tt.in, tt.n); got != tt.want {
			t.Errorf("clip(%q, %d) = %q; want %q", tt.in, tt.n, got, tt.want)
		}
	}
}
