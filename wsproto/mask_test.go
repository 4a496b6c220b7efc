package wsproto

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestMask(t *testing.T) {
	p := []byte("Hello")
	mask(p, [4]byte{0x37, 0xfa, 0x21, 0x3d}, 0)
	if want := unhex("7f 9f 4d 51 58"); !bytes.Equal(p, want) { // §5.7
		t.Errorf("mask(Hello) = %x, want %x", p, want)
	}
}

// TestMaskByBytes compares with the definition (§5.3) over lengths, offsets and
// alignments around every step that mask takes.
func TestMaskByBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 5000)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	lengths := []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 31, 32, 33, 41, 127, 128, 129, 1023, 1024, 1025, 1032, 2048, 2055, 4900}
	for _, n := range lengths {
		for start := range 8 {
			for off := range int64(9) {
				key := [4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}
				got := bytes.Clone(data)
				mask(got[start:start+n], key, off)
				want := bytes.Clone(data)
				for i := range n {
					want[start+i] ^= key[(off+int64(i))%4]
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("mask of %d bytes from %d at offset %d with %x is wrong", n, start, off, key)
				}
			}
		}
	}
}

func BenchmarkMask(b *testing.B) {
	for _, n := range []int{8, 64, 125, 512, 4096, 65536} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				mask(p, [4]byte{1, 2, 3, 4}, 0)
			}
		})
	}
}
