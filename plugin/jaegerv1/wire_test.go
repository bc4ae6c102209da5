package jaegerv1

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

// A cursor reads the fields that protowire reads, and fails where it fails.
func TestCursorAgreesWithProtowire(t *testing.T) {
	messages := rapid.SliceOf(rapid.OneOf(
		rapid.Byte(),
		rapid.SampledFrom([]byte{0, 1, 8, 9, 10, 13, 18, 0x7f, 0x80, 0xff}),
	))
	rapid.Check(t, func(t *rapid.T) {
		message := messages.Draw(t, "message")
		c := walk(message)
		rest := message
		for len(rest) > 0 {
			_, wire, head := protowire.ConsumeTag(rest)
			if head > 0 && (wire == protowire.StartGroupType || wire == protowire.EndGroupType) {
				return // groups have a test of their own
			}
			num, _, n := protowire.ConsumeField(rest)
			if more := c.next(); more != (n >= 0) {
				t.Fatalf("% x: next is %v, protowire says %d", rest, more, n)
			}
			if n < 0 {
				if c.err == nil {
					t.Fatal("no error")
				}
				return
			}
			if c.num != num || c.wire != wire || len(c.rest) != len(rest)-n {
				t.Fatalf("% x: field %d of type %d, %d left", rest, c.num, c.wire, len(c.rest))
			}
			value := rest[head:n]
			switch wire {
			case protowire.VarintType:
				v, _ := protowire.ConsumeVarint(value)
				check(t, c.n == v, "varint")
			case protowire.Fixed64Type:
				v, _ := protowire.ConsumeFixed64(value)
				check(t, c.n == v, "fixed64")
			case protowire.Fixed32Type:
				v, _ := protowire.ConsumeFixed32(value)
				check(t, c.n == uint64(v), "fixed32")
			case protowire.BytesType:
				v, _ := protowire.ConsumeBytes(value)
				check(t, bytes.Equal(c.body, v), "bytes")
			}
			rest = rest[n:]
		}
		check(t, !c.next() && c.err == nil, "the end")
	})
}

func check(t *rapid.T, ok bool, what string) {
	t.Helper()
	if !ok {
		t.Fatal(what)
	}
}

func TestGroupsArePassedOver(t *testing.T) {
	for _, test := range []struct {
		name    string
		message string
		fields  int
		ok      bool
	}{
		{"empty group", "\x0b\x0c\x08\x01", 1, true},
		{"group in a group with fields", "\x08\x01\x0b\x12\x01x\x13\x14\x0c\x08\x01", 2, true},
		{"no end", "\x0b\x08\x01", 0, false},
		{"no end and nothing in it", "\x0b", 0, false},
		{"no begin", "\x08\x01\x0c", 1, false},
		{"unknown wire type", "\x0e", 0, false},
		{"field number zero", "\x00\x01", 0, false},
		{"varint of 65 bits", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := walk(test.message)
			fields := 0
			for c.next() {
				fields++
			}
			if fields != test.fields || (c.err == nil) != test.ok {
				t.Errorf("%d fields, %v", fields, c.err)
			}
		})
	}
}

// Bodies at the borders of length encodings, whatever width was guessed for them.
func TestCloseMessageCorrectsTheGuess(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 16383, 16384, 1<<21 - 1, 1 << 21} {
		body := bytes.Repeat([]byte("b"), size)
		want := appendString([]byte("before"), 3, string(body))
		for width := 1; width <= 4; width++ {
			dst, at := openMessage([]byte("before"), 3, width)
			if got := closeMessage(append(dst, body...), at, width); !bytes.Equal(got, want) {
				t.Errorf("%d bytes with %d for the size", size, width)
			}
		}
	}
}
